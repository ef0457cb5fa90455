-- resource_allocate: a share of a pool for a swarm, never more than there is. args: id of the request, swarm, kind, amount
-- key pool      HASH    kind -> amount
-- key used      HASH    kind -> what swarms hold of it
-- key shares    ZSET    swarm -> ms of its last allocation; those that hold something
-- key asked     HASH    id -> answer; 10,000, 5 minutes
-- key asked_at  ZSET    id -> ms
-- key swarms    ZSET    id -> ms when created
-- key inboxes   ZSET    address -> last use, ms
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- family share      HASH  {reg}:share:<swarm>: kind -> amount
-- family share_use  HASH  {reg}:share_use:<swarm>: kind -> ms of the last use
-- include registry
-- include coord_lib
-- include resource_lib
-- -> what the swarm holds now, what is left
local id, swarm, kind, amount = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local pool = tonumber(redis.call('HGET', k_pool, kind))
if not pool then
  return redis.error_reply('NOTFOUND there is no pool ' .. kind)
end
local used = tonumber(redis.call('HGET', k_used, kind) or 0)
local held = again(id)
if held then
  return {tonumber(held), pool - used}
end
local now = clock()
if not keeps(swarm, now) then
  return redis.error_reply('NOTFOUND no live swarm ' .. swarm)
end
if used + amount > pool then
  return redis.error_reply('FULL ' .. kind .. ' has ' .. text(math.max(0, pool - used)) .. ' left of ' .. text(pool) ..
    ', not ' .. ARGV[4])
end
redis.call('HINCRBY', k_used, kind, ARGV[4])
held = redis.call('HINCRBY', root .. 'share:' .. swarm, kind, ARGV[4])
redis.call('HSET', root .. 'share_use:' .. swarm, kind, text(now))
redis.call('ZADD', k_shares, now, swarm)
answered(id, held, now)
note('resource.allocated', swarm, 'kind', kind, 'amount', ARGV[4])
count('resources_allocated')
return {held, pool - used - amount}
