-- task_list: tasks of one status, in order: ready as they will be claimed, delayed as they are due, ended newest first.
-- args: status, offset, limit;  answers: as task_get. Ended and delayed tasks are looked for among 20,000 at most.
-- key task    HASH  id -> record
-- key out     HASH  id -> outcome
-- key lanes   SET   lanes that may hold ready tasks
-- key held    HASH  id -> worker attempt since_ms submitted_ms type
-- key timers  ZSET  d:<id> delayed until -> ms
-- key fin     LIST  ms:id of outcomes, oldest first
-- key dead    ZSET  id -> when it was given up
-- key deps    HASH  id -> parents not yet done
-- key attempts  HASH  id -> claims so far
-- key fails   HASH  id -> failures so far, and the last error
-- key deaths  HASH  id -> workers that died while they held it
-- key progress  HASH  id -> what its worker said last
-- family ready  ZSET  <base>ready:<lane>
-- include looking
local base = string.sub(k_task, 1, -5)
local status, offset, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last, ids, skipped = offset + limit - 1, {}, 0
local function take(id)
  if skipped < offset then skipped = skipped + 1 else ids[#ids + 1] = id end
  return #ids < limit
end

if status == 'ready' then
  local all = {}
  for _, lane in ipairs(redis.call('SMEMBERS', k_lanes)) do
    local list = redis.call('ZRANGE', base .. 'ready:' .. lane, 0, last, 'WITHSCORES')
    for i = 1, #list, 2 do all[#all + 1] = { tonumber(list[i + 1]), list[i] } end
  end
  table.sort(all, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
  for _, one in ipairs(all) do
    if not take(one[2]) then break end
  end
elseif status == 'dead' then
  ids = redis.call('ZREVRANGE', k_dead, offset, last)
elseif status == 'running' or status == 'waiting' then
  local all = redis.call('HKEYS', status == 'running' and k_held or k_deps)
  table.sort(all)
  for _, id in ipairs(all) do
    if not take(id) then break end
  end
elseif status == 'delayed' then
  for _, timer in ipairs(redis.call('ZRANGE', k_timers, 0, 19999)) do
    local id = string.match(timer, '^d:(.*)$')
    if id and not take(id) then break end
  end
else
  local full, want = false, '{"status":"' .. status .. '"'
  for at = -1, -20000, -500 do
    local page = redis.call('LRANGE', k_fin, at - 499, at)
    for i = #page, 1, -1 do
      local id = string.match(page[i], ':(.*)$')
      local over = redis.call('HGET', k_out, id)
      if over and string.sub(over, 1, #want) == want and not take(id) then
        full = true
        break
      end
    end
    if full or #page < 500 then break end
  end
end
for i, id in ipairs(ids) do ids[i] = facts(id) end
return ids
