-- agent_register: take an agent up, or up again. At most <most> live agents.
-- args: id, status, suspect ms, dead ms, parent or -, capabilities by comma or -, load, JSON of the rest, most, levels
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
-- -> 1 if it was not there, else 0
local id, status, suspect, dead, parent, caps, load, rest, most, levels = unpack(ARGV)
local now = clock()
local old = redis.call('HGET', k_roster, id)
local since, was = text(now), nil
if old then
  since, was = old:match('^%S+ %S+ %S+ (%S+) (%S+) ')
  if was ~= parent then
    return redis.error_reply('CONFLICT ' .. id .. ' is there already, with ' ..
      (was == '-' and 'no parent' or 'the parent ' .. was))
  end
elseif redis.call('ZCOUNT', k_due, now, '+inf') >= tonumber(most) then
  return redis.error_reply('FULL there are ' .. most .. ' agents, which is the most')
end
local up, level = parent, 1
while up ~= '-' do
  local line = redis.call('HGET', k_roster, up)
  if not line or tonumber(redis.call('ZSCORE', k_due, up)) <= now then
    return redis.error_reply('NOTFOUND no live agent ' .. up .. ' to be the parent of ' .. id)
  end
  up, level = line:match('^%S+ %S+ %S+ %S+ (%S+) '), level + 1
  if level > tonumber(levels) then
    return redis.error_reply('ILLEGAL ' .. id .. ' would be on level ' .. level .. ', there are ' .. levels)
  end
end
local line = table.concat({status, suspect, dead, since, parent, caps, id, rest}, ' ')
redis.call('HSET', k_roster, id, line)
redis.call('HSET', base .. 'agent:' .. id, 'status', status, 'parent', parent, 'capabilities', caps)
if old then
  for cap in old:match('^%S+ %S+ %S+ %S+ %S+ (%S+) '):gmatch('[^,-][^,]*') do
    redis.call('SREM', base .. 'cap:' .. cap, id)
  end
end
for cap in caps:gmatch('[^,-][^,]*') do
  redis.call('SADD', base .. 'cap:' .. cap, id)
end
if parent ~= '-' then
  redis.call('SADD', base .. 'children:' .. parent, id)
end
redis.call('ZADD', k_agents, now, id)
redis.call('ZADD', k_due, now + dead, id)
if load ~= '' then
  redis.call('HSET', k_load, id, load)
end
if not old then
  count('agents_registered')
end
if line ~= old then
  note(old and 'agent.changed' or 'agent.registered', id, 'capabilities', caps, 'parent', parent)
end
sweep(now, 5)
return old and 0 or 1
