-- breaker_note: a breaker lies on a slot of its own; here it is listed, and its change told.
-- key breakers  ZSET    target -> ms of its last change; the newest 1000
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- include registry
-- args: target, verb (opened, closed, configured)
redis.call('ZADD', k_breakers, clock(), ARGV[1])
redis.call('ZREMRANGEBYRANK', k_breakers, 0, -1001)
note('breaker.' .. ARGV[2], ARGV[1])
count('breakers_' .. ARGV[2])
return 1
