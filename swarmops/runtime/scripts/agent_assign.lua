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
local heap = {}  -- the least loaded on top; whether an agent lives is asked only of the one on top
for from = 1, #ids, 1000 do
  local some = {unpack(ids, from, math.min(from + 999, #ids))}
  for i, open in ipairs(redis.call('HMGET', k_load, unpack(some))) do
    heap[#heap + 1] = {id = some[i], open = tonumber(open or 0), late = false}
  end
end
local function before(a, b)
  if a.late ~= b.late then
    return b.late
  elseif a.open ~= b.open then
    return a.open < b.open
  end
  return a.id < b.id
end
local function sink(at)
  local one = heap[at]
  while heap[2 * at] do
    local below = 2 * at
    if heap[below + 1] and before(heap[below + 1], heap[below]) then
      below = below + 1
    end
    if not before(heap[below], one) then
      break
    end
    heap[at], at = heap[below], below
  end
  heap[at] = one
end
for at = math.floor(#heap / 2), 1, -1 do
  sink(at)
end
local function best()
  while heap[1] and not heap[1].seen do
    local one = heap[1]
    local left = redis.call('ZSCORE', k_due, one.id) - now
    if left > 0 then
      local suspect, dead = redis.call('HGET', k_roster, one.id):match('^%S+ (%S+) (%S+) ')
      one.seen, one.late = true, left <= dead - suspect
    else
      heap[1] = heap[#heap]
      heap[#heap] = nil
    end
    if heap[1] then
      sink(1)
    end
  end
  return heap[1]
end
local found = {}
for i = 1, want do
  local one = best()
  if not one then
    local needs = #ARGV > 1 and ' with ' .. table.concat(ARGV, ', ', 2) or ''
    return redis.error_reply('NOTFOUND no live agent' .. needs)
  end
  found[i], one.open = one.id, one.open + 1
  redis.call('HINCRBY', k_load, one.id, 1)
  sink(1)
end
return found
