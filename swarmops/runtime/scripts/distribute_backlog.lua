-- distribute_backlog: how much waits, and with whom the rest is. args: a new strategy or '', how many stuck ids at most
-- key pending  ZSET    id -> score
-- key stuck    ZSET    id -> score
-- key body     HASH    id -> JSON
-- key ended    ZSET    id -> ms
-- key dist     HASH    strategy, cursor, able, number
-- key busy     SET     swarms that have something open
-- key events   STREAM  about 10000
-- family assigned  ZSET  {reg}:assigned:<swarm>: id -> score
-- include registry
-- -> strategy, cursor, pending, stuck, open tasks, ended, stuck ids, then swarm and load of each
if ARGV[1] ~= '' and ARGV[1] ~= redis.call('HGET', k_dist, 'strategy') then
  redis.call('HSET', k_dist, 'strategy', ARGV[1])
  note('distribution.strategy', ARGV[1])
end
local root = k_dist:sub(1, -13)
local waiting, stuck = redis.call('ZCARD', k_pending), redis.call('ZCARD', k_stuck)
local loads = {}
for _, swarm in ipairs(redis.call('SMEMBERS', k_busy)) do
  loads[#loads + 1] = swarm
  loads[#loads + 1] = redis.call('ZCARD', root .. 'assigned:' .. swarm)
end
return {redis.call('HGET', k_dist, 'strategy') or 'least_loaded', redis.call('HGET', k_dist, 'cursor') or '', waiting, stuck,
  redis.call('HLEN', k_body), redis.call('ZCARD', k_ended), redis.call('ZRANGE', k_stuck, 0, tonumber(ARGV[2]) - 1), loads}
