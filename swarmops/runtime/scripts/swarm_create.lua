-- swarm_create: a swarm, unless the limit is reached. args: id, nonce, d, dead ms, ttl ms, the usual limit, load
-- key swarms    ZSET    id -> ms when created
-- key due       ZSET    id -> ms when it is interrupted (the live) or archived (the others)
-- key ended     ZSET    id -> ms when completed or failed; at most 1000, which count for no limit
-- key archive   HASH    id -> JSON; 7 days, at most 10000
-- key archived  ZSET    id -> ms when archived
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- key limit     STRING  how many at once, if it was set
-- family swarm         HASH  {reg}:swarm:<id>: d (JSON), status, created, beat, load, why, dead, ttl, nonce
-- family swarm_status  SET   {reg}:swarm_status:<status>: ids
-- include registry
-- include swarm_index
-- -> ms when created; the same again for the same nonce
local id, nonce, d, dead, ttl, limit = unpack(ARGV)
local key = base .. 'swarm:' .. id
local there = redis.call('HMGET', key, 'nonce', 'created')
if there[1] then
  if there[1] == nonce then
    return tonumber(there[2])
  end
  return redis.error_reply('EXISTS there is a swarm ' .. id)
end
local now = clock()
limit = tonumber(redis.call('GET', k_limit) or limit)
local live = redis.call('ZCARD', k_swarms) - redis.call('ZCARD', k_ended)
if live >= limit then
  return redis.error_reply('FULL there are ' .. live .. ' swarms of at most ' .. limit)
end
redis.call('HSET', key, 'd', d, 'status', 'initializing', 'created', text(now), 'beat', text(now), 'load', '0',
  'why', 'created', 'dead', dead, 'ttl', ttl, 'nonce', nonce)
local t = redis.call('TIME')  -- with microseconds behind the point: newest first, even in a rush
redis.call('ZADD', k_swarms, text(t[1] * 1000 + math.floor(t[2] / 1000)) .. string.format('.%03d', t[2] % 1000), id)
redis.call('ZADD', k_due, now + dead, id)
redis.call('SADD', base .. 'swarm_status:initializing', id)
note('swarm.registered', id)
count('swarms_registered')
sweep(now, 5)
return now
