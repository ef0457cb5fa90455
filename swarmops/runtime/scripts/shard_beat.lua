-- shard_beat: a shard lives.
-- answers: record, ttl ms, keep ms, record of the newest context or ''
-- key meta      HASH  as shard_open wrote it
-- key versions  LIST  contexts loaded, newest first, 20 at most
-- include shard_lib
if not known() then return redis.error_reply(MISSING) end
call('HSET', k_meta, 'beat', now)
live()
local kept = call('HMGET', k_meta, 'd', 'ttl', 'keep')
return {kept[1], kept[2], kept[3], call('LINDEX', k_versions, 0) or ''}
