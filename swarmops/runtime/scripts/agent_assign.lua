-- agent_assign: the least loaded live agent that can, a turn for each task; its load grows at once (S2-15).
-- args: how many tasks, capabilities
-- key agents  ZSET  id -> ms of its last beat
-- key due     ZSET  id -> ms when it is dead unless it beats
-- key roster  HASH  id -> line (see agent_index.lua)
-- key load    HASH  id -> open tasks; no field for none
-- family cap  SET   {reg}:cap:<capability>: ids
-- include registry
-- -> the ids, one for each task; an agent that missed beats only if no other can
local now, want = clock(), tonumber(ARGV[1])
local ids
if #ARGV == 1 then
  ids = redis.call('ZRANGE', k_agents, 0, -1)
else
  local sets = {}
  for i = 2, #ARGV do
    sets[i - 1] = k_agents:sub(1, -7) .. 'cap:' .. ARGV[i]
  end
  ids = redis.call('SINTER', unpack(sets))
end
local able = {}
for from = 1, #ids, 1000 do
  local some = {unpack(ids, from, math.min(from + 999, #ids))}
  local due, open = redis.call('ZMSCORE', k_due, unpack(some)), redis.call('HMGET', k_load, unpack(some))
  for i, line in ipairs(redis.call('HMGET', k_roster, unpack(some))) do
    local left = due[i] - now
    if left > 0 then
      local suspect, dead = line:match('^%S+ (%S+) (%S+) ')
      able[#able + 1] = {id = some[i], open = tonumber(open[i] or 0), late = left <= dead - suspect}
    end
  end
end
if #able == 0 then
  return redis.error_reply('NOTFOUND no live agent' .. (#ARGV > 1 and ' with ' .. table.concat(ARGV, ', ', 2) or ''))
end
local function before(a, b)
  if a.late ~= b.late then
    return b.late
  elseif a.open ~= b.open then
    return a.open < b.open
  end
  return a.id < b.id
end
table.sort(able, before)
local found = {}
for i = 1, want do
  local one, at = able[1], 1
  found[i] = one.id
  one.open = one.open + 1
  redis.call('HINCRBY', k_load, one.id, 1)
  while able[at + 1] and before(able[at + 1], one) do
    able[at] = able[at + 1]
    at = at + 1
  end
  able[at] = one
end
return found
