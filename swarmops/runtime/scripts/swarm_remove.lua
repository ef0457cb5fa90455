-- swarm_remove: a swarm leaves every index and is archived. args: id, why
-- key swarms    ZSET    id -> ms when created
-- key due       ZSET    id -> ms when it is interrupted (the live) or archived (the others)
-- key ended     ZSET    id -> ms when completed or failed; at most 1000, which count for no limit
-- key archive   HASH    id -> JSON; 7 days, at most 10000
-- key archived  ZSET    id -> ms when archived
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- family swarm         HASH  {reg}:swarm:<id>: d (JSON), status, created, beat, load, why, dead, ttl, nonce
-- family swarm_status  SET   {reg}:swarm_status:<status>: ids
-- include registry
-- include swarm_index
-- -> what the archive holds of it; also if it is there already
local id = ARGV[1]
if redis.call('EXISTS', base .. 'swarm:' .. id) == 1 then
  retire(id, ARGV[2], clock())
end
local kept = redis.call('HGET', k_archive, id)
if not kept then
  return redis.error_reply('NOTFOUND there is no swarm ' .. id)
end
return kept
