-- shard_drop: the registry's half of a removal.
-- args: id
-- answers: 1, or 0 if it was not there
-- key shards  HASH    id -> registered ms|keep ms|record
-- key until   ZSET    id -> when it is no longer alive unless it beats
-- key events  STREAM  audit trail, about 10,000 entries
local was = redis.call('HDEL', k_shards, ARGV[1])
redis.call('ZREM', k_until, ARGV[1])
if was == 1 then redis.call('XADD', k_events, 'MAXLEN', '~', 10000, '*', 'what', 'shard.removed', 'id', ARGV[1]) end
return was
