-- swarm_beat: swarms live. Also a bounded sweep. args: ids
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
-- -> for each its status, or nothing if there is no such swarm. Only the live are renewed
local now, found = clock(), {}
redis.call('ZREM', k_due, '')  -- a shrinking command first: swarms live on while Redis is full
for i, id in ipairs(ARGV) do
  local key = base .. 'swarm:' .. id
  local status, dead = unpack(redis.call('HMGET', key, 'status', 'dead'))
  if LIVE[status] then
    redis.call('HSET', key, 'beat', text(now))
    redis.call('ZADD', k_due, now + dead, id)
  end
  found[i] = status
end
sweep(now, 10)
return found
