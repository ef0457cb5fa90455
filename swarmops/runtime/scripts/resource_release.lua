-- resource_release: a swarm gives back, at most what it holds. args: id of the request, swarm, kind, amount ('' for all)
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
-- -> how much was given back
local id, swarm, kind, amount = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local before = again(id)
if before then
  return tonumber(before)
end
if not redis.call('HGET', k_pool, kind) then
  return redis.error_reply('NOTFOUND there is no pool ' .. kind)
end
redis.call('HDEL', k_used, '')  -- a shrinking command first: a full Redis can be freed
local back = give_back(swarm, kind, amount)
answered(id, back, clock())
if back > 0 then
  note('resource.released', swarm, 'kind', kind, 'amount', text(back))
  count('resources_released')
end
return back
