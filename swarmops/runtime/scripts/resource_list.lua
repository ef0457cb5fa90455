-- resource_list: all pools, and what swarms hold. args: how many swarms at most
-- key pool    HASH    kind -> amount
-- key used    HASH    kind -> what swarms hold of it
-- key idle    HASH    kind -> ms; no field for never
-- key shares  ZSET    swarm -> ms of its last allocation; those that hold something
-- family share  HASH  {reg}:share:<swarm>: kind -> amount
-- -> kind, amount, used, idle ms of each; swarm and its kinds and amounts of each
local pools, held = {}, {}
local all = redis.call('HGETALL', k_pool)
for i = 1, #all, 2 do
  local kind = all[i]
  pools[#pools + 1] = {kind, all[i + 1], redis.call('HGET', k_used, kind) or '0', redis.call('HGET', k_idle, kind) or '0'}
end
local root = k_shares:sub(1, -7)
for _, swarm in ipairs(redis.call('ZRANGE', k_shares, 0, tonumber(ARGV[1]) - 1)) do
  held[#held + 1] = {swarm, redis.call('HGETALL', root .. 'share:' .. swarm)}
end
return {pools, held}
