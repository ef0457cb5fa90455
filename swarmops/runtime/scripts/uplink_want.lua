-- uplink_want: a site looks for a context that the centre has not got; the next site that has it brings it.
-- args: hash
-- key wanted  ZSET  hash -> when it was asked for last; the newest 1,000
local clock = redis.call('TIME')
redis.call('ZADD', k_wanted, clock[1] * 1000 + math.floor(clock[2] / 1000), ARGV[1])
redis.call('ZREMRANGEBYRANK', k_wanted, 0, -1001)
return 1
