-- message_history: the newest of a channel first, no more and none older than it keeps. args: how many, of any age (1, 0)
-- key channel  STREAM  h header, p payload, n number
-- key limits   HASH    rate burst inbox history age
-- include registry
-- -> entries
local set = redis.call('HMGET', k_limits, 'history', 'age')
local many = math.min(tonumber(ARGV[1]), tonumber(set[1] or 1000))
local since = ARGV[2] == '1' and '-' or text(clock() - tonumber(set[2] or 3600000))
return redis.call('XREVRANGE', k_channel, '+', since, 'COUNT', many)
