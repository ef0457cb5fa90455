-- breaker_report: how a call went. Answers the state now ('closed', 'open', 'half'), and 1 if this report changed it.
-- Closed: failures within the window are counted, a success forgets them, the last one opens. Half: only the one
-- probe decides. Open: reports of calls that began before change nothing. A report sent again counts once.
-- key breaker  HASH  state, fails (ms=id,...; at most the threshold), until ms, probe token, trips, settings; ends by itself
-- args: 1 or 0, probe token or '', report id, failures, window ms, open ms
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ok, probe, id = ARGV[1] == '1', ARGV[2], ARGV[3]
local b = redis.call('HMGET', k_breaker, 'state', 'fails', 'probe', 'failures', 'window', 'open_ms', 'custom', 'last')
local state = b[1] or 'closed'
local most, window, open_ms = tonumber(b[4] or ARGV[4]), tonumber(b[5] or ARGV[5]), tonumber(b[6] or ARGV[6])

local function last_until(ms)
  if not b[7] then redis.call('PEXPIRE', k_breaker, ms) end
end

local function open(failures)
  redis.call('HDEL', k_breaker, 'fails', 'probe')
  redis.call('HSET', k_breaker, 'state', 'open', 'until', now + open_ms, 'tripped', failures, 'last', id)
  redis.call('HINCRBY', k_breaker, 'trips', 1)
  last_until(open_ms + 86400000)
  return { 'open', 1 }
end

if b[8] == id then return { state, 1 } end
if state == 'half' then
  if probe == '' or b[3] ~= probe then return { state, 0 } end
  if not ok then return open(1) end
  redis.call('HDEL', k_breaker, 'state', 'until', 'probe', 'fails', 'tripped')
  redis.call('HSET', k_breaker, 'last', id)
  last_until(window)
  return { 'closed', 1 }
end
if state == 'open' then return { state, 0 } end
if ok then
  if b[2] then redis.call('HDEL', k_breaker, 'fails') end
  return { 'closed', 0 }
end
local fails = { now .. '=' .. id }
for at, other in string.gmatch(b[2] or '', '(%d+)=([^,]+)') do
  if other == id then return { 'closed', 0 } end
  if now - tonumber(at) < window then fails[#fails + 1] = at .. '=' .. other end
end
if #fails >= most then return open(#fails) end
redis.call('HSET', k_breaker, 'fails', table.concat(fails, ','))
last_until(window + 86400000)
return { 'closed', 0 }
