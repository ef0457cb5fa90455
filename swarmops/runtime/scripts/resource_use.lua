-- resource_use: a swarm uses its shares: they are not idle. args: swarm, kinds
-- key swarms     ZSET    id -> ms when created
-- family share      HASH  {reg}:share:<swarm>: kind -> amount
-- family share_use  HASH  {reg}:share_use:<swarm>: kind -> ms of the last use
-- include registry
-- -> how many of the kinds it holds
local root, n = k_swarms:sub(1, -7), 0
for i = 2, #ARGV do
  if redis.call('HEXISTS', root .. 'share:' .. ARGV[1], ARGV[i]) == 1 then
    redis.call('HSET', root .. 'share_use:' .. ARGV[1], ARGV[i], text(clock()))
    n = n + 1
  end
end
return n
