-- breaker_set: by hand: 'open' for ARGV ms, 'closed', or 'settings' (pairs of field and number; they stay).
-- Answers 1 if the state is another now.
-- key breaker  HASH  state, fails (ms=id,...; at most the threshold), until ms, probe token, trips, settings; ends by itself
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local was = redis.call('HGET', k_breaker, 'state') or 'closed'
if ARGV[1] == 'settings' then
  redis.call('HSET', k_breaker, 'custom', 1, unpack(ARGV, 2))
  redis.call('PERSIST', k_breaker)
  return 0
end
redis.call('HDEL', k_breaker, 'fails', 'probe', 'until', 'state', 'tripped')
if ARGV[1] == 'open' then
  redis.call('HSET', k_breaker, 'state', 'open', 'until', now + ARGV[2], 'tripped', 0)
  if redis.call('HEXISTS', k_breaker, 'custom') == 0 then redis.call('PEXPIRE', k_breaker, ARGV[2] + 86400000) end
end
return was == ARGV[1] and 0 or 1
