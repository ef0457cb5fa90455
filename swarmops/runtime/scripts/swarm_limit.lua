-- swarm_limit: how many swarms there may be at once. args: the usual limit, the new one, 0 for the usual one or '' to ask
-- key limit   STRING  how many at once, if it was set
-- key swarms  ZSET    id -> ms when created
-- key ended   ZSET    id -> ms when completed or failed
-- key events  STREAM  about 10000
-- include registry
-- -> limit, how many there are
if ARGV[2] == '0' then
  redis.call('DEL', k_limit)
  note('swarm.limit', '', 'limit', ARGV[1])
elseif ARGV[2] ~= '' then
  redis.call('SET', k_limit, ARGV[2])
  note('swarm.limit', '', 'limit', ARGV[2])
end
local live = redis.call('ZCARD', k_swarms) - redis.call('ZCARD', k_ended)
return {tonumber(redis.call('GET', k_limit) or ARGV[1]), live}
