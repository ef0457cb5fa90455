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
  for i, id in ipairs(some) do
    if tonumber(due[i]) > now then
      able[#able + 1] = {id = id, open = tonumber(open[i] or 0), due = tonumber(due[i]), more = 0}
    end
  end
end
if #able == 0 then
  return redis.error_reply('NOTFOUND no live agent' .. (#ARGV > 1 and ' with ' .. table.concat(ARGV, ', ', 2) or ''))
end
local function before(a, b)
  if a.open ~= b.open then
    return a.open < b.open
  end
  return a.id < b.id
end
table.sort(able, before)
local function late(one)
  if one.late == nil then
    local suspect, dead = redis.call('HGET', k_roster, one.id):match('^%S+ (%S+) (%S+) ')
    one.late = one.due - dead + suspect <= now
  end
  return one.late
end
local first = 1
local doubtful = {}
while able[first] and late(able[first]) do
  doubtful[#doubtful + 1] = able[first]
  first = first + 1
end
if not able[first] then
  able, first = doubtful, 1
end
local found = {}
while #found < want do
  local one = able[first]
  found[#found + 1] = one.id
  one.open, one.more = one.open + 1, one.more + 1
  local at = first
  while able[at + 1] and (before(able[at + 1], one)) do
    able[at] = able[at + 1]
    at = at + 1
  end
  able[at] = one
end
