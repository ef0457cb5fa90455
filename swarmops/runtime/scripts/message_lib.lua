-- lib
-- What the scripts that send messages share; after `-- include registry`.
-- Limits may be changed at run time (HASH limits); what is not there is as it says here.
local WEEK = 7 * 86400 * 1000

local function limits()
  local set = redis.call('HMGET', k_limits, 'rate', 'burst', 'inbox', 'history', 'age')
  return {
    rate = tonumber(set[1] or 500),        -- messages a second and sender
    burst = tonumber(set[2] or 1000),
    inbox = tonumber(set[3] or 1000),      -- messages
    history = tonumber(set[4] or 1000),    -- messages of a channel
    age = tonumber(set[5] or 3600000),     -- ms that a channel keeps them
  }
end

-- A bucket of tokens for each sender, as "<tokens> <ms>". -> what to write back, or nil and the error to return.
local function spend(set, now, sender, cost)
  local tokens = set.burst
  local held = redis.call('GET', k_rate)
  if held then
    local left, since = string.match(held, '^(%S+) (%d+)$')
    tokens = math.min(set.burst, tonumber(left) + math.max(0, now - tonumber(since)) * set.rate / 1000)
  end
  if tokens < math.min(cost, set.burst) then
    local wait = math.ceil((math.min(cost, set.burst) - tokens) * 1000 / set.rate)
    return nil, redis.error_reply('FULL ' .. sender .. ' sends more than ' .. set.rate ..
      ' messages a second: again in ' .. text(wait) .. ' ms')
  end
  return string.format('%.3f %.0f', tokens - cost, now)
end

local function spent(set, bucket)
  redis.call('SET', k_rate, bucket, 'PX', text(math.ceil(set.burst * 1000 / set.rate) + 1000))
end

-- The last 2,000 ids of a sender, for 5 minutes: a send whose answer was lost is not done twice.
local function remember(id, now)
  redis.call('ZADD', k_sent, now, id)
  redis.call('ZREMRANGEBYRANK', k_sent, 0, -2001)
  redis.call('PEXPIRE', k_sent, 300000)
end
