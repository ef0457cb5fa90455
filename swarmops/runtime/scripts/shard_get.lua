-- shard_get: all that is small about a shard.
-- answers: {meta's fields, number of findings, open and held synthesis requests, versions}
-- key meta      HASH  as shard_open wrote it
-- key findings  ZSET  id -> number in order
-- key open      ZSET  synthesis requests that wait
-- key held      ZSET  those that are claimed
-- key versions  LIST  contexts loaded, newest first
-- include shard_lib
return {call('HGETALL', k_meta), call('ZCARD', k_findings), call('ZCARD', k_open) + call('ZCARD', k_held),
  call('LRANGE', k_versions, 0, -1)}
