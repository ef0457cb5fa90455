-- agent_beat: an agent lives. Also forgets a few of the dead. args: id, load or '', status or ''
-- key agents  ZSET    id -> ms of its last beat
-- key due     ZSET    id -> ms when it is dead unless it beats
-- key roster  HASH    id -> line (see agent_index.lua)
-- key load    HASH    id -> open tasks; no field for none
-- key events  STREAM  about 10000
-- key stats   HASH    counters
-- family cap       SET   {reg}:cap:<capability>: ids
-- family children  SET   {reg}:children:<parent>: ids
-- family agent     HASH  {reg}:agent:<id>: status, parent, capabilities, for other scripts and for redis-cli
-- include registry
-- include agent_index
-- -> ms until it would be dead
local id, load, status = ARGV[1], ARGV[2], ARGV[3]
local line = redis.call('HGET', k_roster, id)
if not line then
  return redis.error_reply('NOTFOUND no agent ' .. id .. ' is registered')
end
local now = clock()
local was, dead = line:match('^(%S+) %S+ (%S+) ')
redis.call('HDEL', k_load, '')  -- a shrinking command first: agents live on while Redis is full
redis.call('ZADD', k_agents, now, id)
redis.call('ZADD', k_due, now + dead, id)
if load == '0' then
  redis.call('HDEL', k_load, id)
elseif load ~= '' then
  redis.call('HSET', k_load, id, load)
end
if status ~= '' and status ~= was then
  redis.call('HSET', k_roster, id, status .. line:sub(#was + 1))
  redis.call('HSET', base .. 'agent:' .. id, 'status', status)
  note('agent.status', id, 'status', status)
end
sweep(now, 5)
return tonumber(dead)
