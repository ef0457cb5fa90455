-- lib
-- What the scripts of the registry share: Redis' clock, events, counters, and the fence around what only the leader
-- may do. A script that only the leader may run says
--
--     -- key leader  STRING  who leads
--     -- key term    STRING  the newest fencing token
--     -- include registry
--     local why = fence(k_leader, k_term, ARGV[1])
--     if why then return why end

-- Milliseconds, by the clock of Redis.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A whole number as text, without an exponent.
local function text(number)
  return string.format('%.0f', number)
end

-- One line of the audit trail: what = <thing>.<verb>, then more pairs. Wants `-- key events`.
local function note(what, id, ...)
  redis.call('XADD', k_events, 'MAXLEN', '~', 10000, '*', 'what', what, 'id', id, ...)
end

-- One more of something. Wants `-- key stats`.
local function count(name, by)
  redis.call('HINCRBY', k_stats, name, by or 1)
end

-- nil if `token` is that of the leader whose lease runs, else the error to return.
local function fence(leader, term, token)
  local newest = redis.call('GET', term) or '0'
  if newest ~= token then
    return redis.error_reply('STALE you lead term ' .. token .. ', the term is ' .. newest)
  end
  if redis.call('EXISTS', leader) == 0 then
    return redis.error_reply('STALE your lease of term ' .. token .. ' has ended')
  end
end
