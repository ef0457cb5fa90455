-- ping: Redis' own time, in milliseconds. What a script can be at its smallest; `redis-test` runs it.
-- key probe  (nothing is kept there)
local t = redis.call('TIME')
return t[1] * 1000 + math.floor(t[2] / 1000)
