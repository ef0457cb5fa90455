-- agent_release: tasks of an agent are done; its load falls, never below 0. args: id, how many
-- key load    HASH  id -> open tasks; no field for none
-- -> what is left open
local open = tonumber(redis.call('HGET', k_load, ARGV[1]) or 0) - ARGV[2]
if open <= 0 then
  redis.call('HDEL', k_load, ARGV[1])
  return 0
end
redis.call('HSET', k_load, ARGV[1], open)
return open
