-- lib
-- Shares of pools; after `-- include registry` and `-- include coord_lib`.

-- Takes `amount` of a kind back from a swarm, at most what it has. -> how much
local function give_back(swarm, kind, amount)
  local share = root .. 'share:' .. swarm
  local held = tonumber(redis.call('HGET', share, kind) or 0)
  local back = math.min(amount or held, held)
  if back == held then
    redis.call('HDEL', share, kind)
    redis.call('HDEL', root .. 'share_use:' .. swarm, kind)
    if redis.call('EXISTS', share) == 0 then
      redis.call('ZREM', k_shares, swarm)
    end
  end
  if back > 0 then
    if back < held then
      redis.call('HINCRBY', share, kind, -back)
    end
    if redis.call('HINCRBY', k_used, kind, -back) == 0 then
      redis.call('HDEL', k_used, kind)
    end
  end
  return back
end

-- The last 10,000 ids, for 5 minutes: what was asked again because its answer was lost is not done twice.
local function again(id)
  return redis.call('HGET', k_asked, id)
end

local function answered(id, answer, now)
  redis.call('HSET', k_asked, id, answer)
  redis.call('ZADD', k_asked_at, now, id)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', k_asked_at, '-inf', now - 300000, 'LIMIT', 0, 10)) do
    redis.call('ZREM', k_asked_at, old)
    redis.call('HDEL', k_asked, old)
  end
  if redis.call('ZCARD', k_asked_at) > 10000 then
    local old = redis.call('ZRANGE', k_asked_at, 0, 0)[1]
    redis.call('ZREM', k_asked_at, old)
    redis.call('HDEL', k_asked, old)
  end
end
