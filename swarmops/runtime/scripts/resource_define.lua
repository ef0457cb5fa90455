-- resource_define: how much there is of a kind. args: kind, amount, idle ms after which a share is reclaimed (0: never,
-- '': as before), only if there is none yet (1, 0)
-- key pool    HASH    kind -> amount; at most 1000
-- key used    HASH    kind -> what swarms hold of it
-- key idle    HASH    kind -> ms; no field for never
-- key events  STREAM  about 10000
-- include registry
-- -> amount, used
local kind, amount, idle, only = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local there = redis.call('HGET', k_pool, kind)
if there and only then
  return {tonumber(there), tonumber(redis.call('HGET', k_used, kind) or 0)}
end
if not there and redis.call('HLEN', k_pool) >= 1000 then
  return redis.error_reply('FULL there are 1000 pools')
end
redis.call('HSET', k_pool, kind, amount)
if idle == '0' then
  redis.call('HDEL', k_idle, kind)
elseif idle ~= '' then
  redis.call('HSET', k_idle, kind, idle)
end
note('resource.defined', kind, 'amount', amount)
return {tonumber(amount), tonumber(redis.call('HGET', k_used, kind) or 0)}
