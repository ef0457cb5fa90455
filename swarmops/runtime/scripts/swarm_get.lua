-- swarm_get: one swarm, as it is by now. args: id
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
-- -> id, status, created, beat, load, why, d
sweep(clock(), 1000)
local it = record(ARGV[1])
if not it[2] then
  return redis.error_reply('NOTFOUND there is no swarm ' .. ARGV[1])
end
return it
