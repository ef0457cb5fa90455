-- shard_index: the registry's half of a registration or beat; says everything each time, so that a lost half returns.
-- args: id, record JSON, ttl ms, keep ms (0: for ever)
-- key shards  HASH    id -> registered ms|keep ms|record; rows leave keep ms after their last beat
-- key until   ZSET    id -> when it is no longer alive unless it beats
-- key events  STREAM  audit trail, about 10,000 entries
-- key stats   HASH    counters
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local id = ARGV[1]
local before = redis.call('HGET', k_shards, id)
local since = before and string.match(before, '^(%d+)|') or string.format('%.0f', now)
redis.call('HSET', k_shards, id, since .. '|' .. ARGV[4] .. '|' .. ARGV[2])
local alive = tonumber(redis.call('ZSCORE', k_until, id) or 0) > now
redis.call('ZADD', k_until, now + ARGV[3], id)
if not alive then
  local what = before and 'shard.back' or 'shard.registered'
  redis.call('XADD', k_events, 'MAXLEN', '~', 10000, '*', 'what', what, 'id', id)
  if not before then redis.call('HINCRBY', k_stats, 'shards_registered', 1) end
end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', k_until, '-inf', now, 'LIMIT', 0, 10)) do
  local keep = tonumber(string.match(redis.call('HGET', k_shards, old) or '', '^%d+|(%d+)|') or 1)
  if keep > 0 and tonumber(redis.call('ZSCORE', k_until, old)) + keep < now then
    redis.call('HDEL', k_shards, old)
    redis.call('ZREM', k_until, old)
  end
end
return tonumber(since)
