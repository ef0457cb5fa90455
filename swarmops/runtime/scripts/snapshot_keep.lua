-- lib: puts one more into a bounded set of snapshots or checkpoints: `order` ZSET id -> number, `kept` HASH
-- <id>.m -> description as JSON, <id>.d -> data, n -> the last number.
local function keep(order, kept, limit, mark, data)
  redis.call('HSET', kept, mark.id .. '.d', data, mark.id .. '.m', cjson.encode(mark))
  redis.call('ZADD', order, redis.call('HINCRBY', kept, 'n', 1), mark.id)
  for _, old in ipairs(redis.call('ZRANGE', order, 0, -1 - limit)) do
    redis.call('HDEL', kept, old .. '.m', old .. '.d')
    redis.call('ZREM', order, old)
  end
end
