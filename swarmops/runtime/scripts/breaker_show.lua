-- breaker_show: Redis' milliseconds, and all fields of a breaker.
-- key breaker  HASH  state, fails (ms=id,...; at most the threshold), until ms, probe token, trips, settings
local t = redis.call('TIME')
return { t[1] * 1000 + math.floor(t[2] / 1000), redis.call('HGETALL', k_breaker) }
