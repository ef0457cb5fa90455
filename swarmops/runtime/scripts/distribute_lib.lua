-- lib
-- The backlog and what swarms have been given; after `-- include registry` and `-- include coord_lib`. Wants the keys
-- pending stuck at body out ended dist besides.
--
-- at: id -> "<status> <attempt> <swarm or -> <score> <since ms>", status pending, stuck or assigned. A score is
-- rank * 2^40 + number: high before normal before low, then as they came; a task that comes back keeps its score.

local function place(id)
  local line = redis.call('HGET', k_at, id)
  if not line then
    return nil
  end
  local status, attempt, swarm, score, since = line:match('^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  return {status = status, attempt = tonumber(attempt), swarm = swarm, score = tonumber(score), since = tonumber(since)}
end

local function put(id, it, now)
  redis.call('HSET', k_at, id, it.status .. ' ' .. it.attempt .. ' ' .. it.swarm .. ' ' .. text(it.score) .. ' ' .. text(now))
end

-- What a swarm has open; its record says so too, if it is still there.
local function load_of(swarm)
  local open = redis.call('ZCARD', root .. 'assigned:' .. swarm)
  if redis.call('EXISTS', root .. 'swarm:' .. swarm) == 1 then
    redis.call('HSET', root .. 'swarm:' .. swarm, 'load', open)
  end
  if open == 0 then
    redis.call('SREM', k_busy, swarm)
  end
  return open
end

-- A task has come to its end. record: what `get` will say of it. 10,000 are kept.
local function finish(id, record, now)
  redis.call('HDEL', k_at, id)
  redis.call('HDEL', k_body, id)
  redis.call('HSET', k_out, id, record)
  redis.call('ZADD', k_ended, now, id)
  local over = redis.call('ZCARD', k_ended) - 10000
  if over > 0 then
    local old = redis.call('ZRANGE', k_ended, 0, math.min(over, 100) - 1)
    redis.call('ZREM', k_ended, unpack(old))
    redis.call('HDEL', k_out, unpack(old))
  end
end

-- One task leaves its swarm for the backlog, once: the next swarm gets another attempt number. A task that swarms
-- died of or gave back 20 times is given up.
local function back(id, swarm, why, now)
  if redis.call('ZREM', root .. 'assigned:' .. swarm, id) == 0 then
    return false
  end
  local it = place(id)
  if not it then
    return false
  elseif it.attempt >= 20 then
    finish(id, cjson.encode({status = 'failed', attempt = it.attempt, swarm = swarm, at = now,
      error = 'given up after ' .. it.attempt .. ' attempts: ' .. why}), now)
    note('assignment.failed', id, 'swarm', swarm, 'why', why)
    count('assignments_failed')
    return true
  end
  it.status, it.swarm = 'pending', '-'
  put(id, it, now)
  redis.call('ZADD', k_pending, it.score, id)
  note('assignment.returned', id, 'swarm', swarm, 'why', why)
  count('assignments_returned')
  return true
end

-- Everything that swarms hold who will not end it, at most `most` tasks. -> how many came back
local function back_from_the_dead(now, most)
  local n = 0
  for _, swarm in ipairs(redis.call('SMEMBERS', k_busy)) do
    if not keeps(swarm, now) then
      for _, id in ipairs(redis.call('ZRANGE', root .. 'assigned:' .. swarm, 0, most - n - 1)) do
        back(id, swarm, 'the swarm is gone', now)
        n = n + 1
      end
      load_of(swarm)
      if n >= most then
        break
      end
    end
  end
  return n
end

local function nudge()
  if redis.call('EXISTS', k_hint) == 0 then
    redis.call('LPUSH', k_hint, '1')
    redis.call('PEXPIRE', k_hint, 60000)
  end
end
