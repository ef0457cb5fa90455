-- agent_get: one agent. args: id
-- key agents  ZSET  id -> ms of its last beat
-- key roster  HASH  id -> line (see agent_index.lua)
-- key load    HASH  id -> open tasks; no field for none
-- include registry
-- -> as agent_list
local line = redis.call('HGET', k_roster, ARGV[1])
if not line then
  return redis.error_reply('NOTFOUND no agent ' .. ARGV[1] .. ' is registered')
end
local beat, open = redis.call('ZSCORE', k_agents, ARGV[1]), redis.call('HGET', k_load, ARGV[1])
return {clock(), line, ARGV[1] .. '\n' .. beat, open and ARGV[1] .. '\n' .. open or ''}
