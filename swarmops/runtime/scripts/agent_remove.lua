-- agent_remove: an agent leaves every index, and its children with it. args: id, why
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
-- -> the ids that are gone
local gone = forget(ARGV[1], 'agent.removed', ARGV[2])
if #gone == 0 then
  return redis.error_reply('NOTFOUND no agent ' .. ARGV[1] .. ' is registered')
end
count('agents_removed', #gone)
return gone
