-- breaker_allow: may the target be called? Answers what, a number, failures: 'closed' (yes; 1 if
-- failures are counted), 'probe' (yes, and only
-- this caller; ms of its lease), 'open' (no; ms until it may be asked again). The same token gets the same probe again.
-- key breaker  HASH  state, fails (ms=id,...; at most the threshold), until ms, probe token, trips, settings; ends by itself
-- args: token, open ms, probe ms; the latter two where the HASH has none
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local b = redis.call('HMGET', k_breaker, 'state', 'until', 'probe', 'probe_ms', 'tripped', 'fails')
local state, till = b[1] or 'closed', tonumber(b[2]) or 0
local lease = tonumber(b[4] or ARGV[3])
local failures = tonumber(b[5]) or 0
if state == 'closed' then return { 'closed', b[6] and 1 or 0, failures } end
if state == 'half' and b[3] == ARGV[1] then return { 'probe', till - now, failures } end
if till > now then return { 'open', till - now, failures } end
redis.call('HDEL', k_breaker, 'probe')  -- a shrinking command first: also while Redis is full
redis.call('HSET', k_breaker, 'state', 'half', 'probe', ARGV[1], 'until', now + lease)
return { 'probe', lease, failures }
