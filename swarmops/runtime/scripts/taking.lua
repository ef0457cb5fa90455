-- lib: what step does for a worker: takes its results, claims for it, and cleans up after others.

-- Latencies are counted in buckets that triple, in ms: enough to draw a histogram of, and cheap.
local EDGES = { 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000 }
local function bucket(name, ms, into)
  local edge = 'inf'
  for _, one in ipairs(EDGES) do
    if ms <= one then
      edge = one
      break
    end
  end
  local field = name .. edge
  into[field] = (into[field] or 0) + 1
end

local function set_of(capabilities)
  local has = {}
  for one in string.gmatch(capabilities, '[^,]+') do has[one] = true end
  return has
end

local function fits(lane, has)
  for need in string.gmatch(lane, '[^,]+') do
    if not has[need] then return false end
  end
  return true
end

-- The worker has no handler for the type of this task. If another has, its type is from now on one of its needs.
local function pass_on(id, record, kind)
  local submitted, _, lane = string.match(record, RECORD)
  local needs = { kind }
  for need in string.gmatch(lane, '[^,]+') do
    if need == kind then return false end
    needs[#needs + 1] = need
  end
  table.sort(needs)
  local to, known = table.concat(needs, ','), false
  for _, capabilities in ipairs(call('HVALS', k_caps)) do known = known or fits(to, set_of(capabilities)) end
  if not known or call('SCARD', k_lanes) >= LANES and call('SISMEMBER', k_lanes, to) == 0 then return false end
  local head, rest = string.match(record, '^(%d+|%d+|)[^|]*(|.*)$')
  record = head .. to .. rest
  call('HSET', k_task, id, record)
  said('released', id)
  go_back(id, record, false)
  return true
end

local function why_not(id, attempt, worker, kind)
  local over = call('HGET', k_out, id)
  if over then -- not refused is only what was recorded already, and is said again since the answer was lost
    local status, mine = string.match(over, '^{"status":"(%a+)"'), '"attempt":' .. attempt .. ',"worker":"' .. worker .. '"'
    if status == (kind == 'd' and 'done' or 'dead') and string.find(over, mine, 1, true) then return nil end
    return 'it has ended: ' .. status
  end
  if call('HEXISTS', k_task, id) == 0 then return 'there is no task ' .. id end
  local n = tonumber(call('HGET', k_attempts, id) or 0)
  if n > tonumber(attempt) then return 'lease lost, attempt ' .. attempt .. ' < ' .. n end
  if call('HEXISTS', k_held, id) == 0 then return 'lease lost, attempt ' .. attempt .. ' is over' end
  return 'it is held by ' .. string.match(call('HGET', k_held, id), '^%S+')
end

local function take_results(worker, first, n, refused)
  local ids, sums, waited, ran, timed = {}, {}, 0, 0, call('ZCARD', k_timers) > 0
  for i = 1, n do ids[i] = ARGV[first + (i - 1) * 4] end
  local held, records = {}, {}
  for from = 1, n, CHUNK do
    local to = math.min(from + CHUNK - 1, n)
    for i, value in ipairs(call('HMGET', k_held, unpack(ids, from, to))) do held[from + i - 1] = value end
  end
  local done, taken, spent = 0, {}, {}
  for i = 1, n do
    local id, o = ids[i], first + (i - 1) * 4
    local attempt, kind, payload = ARGV[o + 1], ARGV[o + 2], ARGV[o + 3]
    local who, number, since, submitted, task_type
    if held[i] and not taken[id] then
      who, number, since, submitted, task_type = string.match(held[i], HOLDS)
    end
    if who ~= worker or number ~= attempt then
      local why = why_not(id, attempt, worker, kind)
      if why and not taken[id] then
        refused[#refused + 1] = id
        refused[#refused + 1] = why
      end
    else
      taken[id] = true
      unhold(id, worker)
      bucket('run_le_', now - since, sums)
      bucket('wait_le_', since - submitted, sums)
      ran, waited, done = ran + now - since, waited + since - submitted, done + 1
      if timed then spent[#spent + 1] = 't:' .. id .. ':' .. attempt end
      if kind == 'd' then
        if timed then spent[#spent + 1] = 'x:' .. id end
        local workflow = ''
        if flowing then
          workflow = select(8, string.match(call('HGET', k_task, id), RECORD))
        end
        close(id, 'done', task_type, submitted, workflow, '"result":' .. payload, attempt, worker, since)
        if linked then ready_children(id) end
      elseif kind ~= 'u' or not pass_on(id, call('HGET', k_task, id), task_type) then
        local again = kind ~= 'x'
        fail(id, call('HGET', k_task, id), payload, again, attempt, worker, since, string.match(kind, '%d+'))
      end
    end
  end
  variadic('ZREM', k_timers, spent)
  for field, value in pairs(sums) do call('HINCRBY', k_stats, field, value) end
  count('run_ms', ran)
  count('wait_ms', waited)
  count('runs', done)
  count('results_refused', #refused / 2)
end

local function take_back(worker, ids)
  for _, id in ipairs(ids) do
    local held = call('HGET', k_held, id)
    if held and string.match(held, '^%S+') == worker then
      unhold(id, worker)
      said('released', id)
      go_back(id, call('HGET', k_task, id), suspects and call('HEXISTS', k_deaths, id) == 1)
    end
  end
end

-- Ids that these workers hold. Looks through all that run: only when something is wrong.
local function held_by(workers, most)
  local ids, holds, cursor = {}, {}, '0'
  repeat
    local page = call('HSCAN', k_held, cursor, 'COUNT', 1000)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      if workers[string.match(page[2][i + 1], '^%S+')] and not holds[page[2][i]] then
        holds[page[2][i]] = page[2][i + 1]
        ids[#ids + 1] = page[2][i]
      end
    end
  until cursor == '0' or #ids >= most
  return ids, holds
end

-- Takes up to 1000 tasks from workers whose lease has ended.
local function reap()
  local late = call('ZRANGEBYSCORE', k_alive, '-inf', now - 1, 'LIMIT', 0, 20)
  if #late == 0 then return end
  local silent, lost = {}, {}
  for _, who in ipairs(late) do
    if call('HEXISTS', k_load, who) == 1 then silent[who] = true else lost[#lost + 1] = who end
  end
  if next(silent) then
    local ids, holds = held_by(silent, 1000)
    for _, id in ipairs(ids) do
      local who, attempt, since = string.match(holds[id], HOLDS)
      unhold(id, who)
      local record = call('HGET', k_task, id)
      if record then died(id, record, attempt, who, since) end
    end
    settle()
    for who in pairs(silent) do
      if #ids < 1000 or call('HEXISTS', k_load, who) == 0 then
        lost[#lost + 1] = who
        call('HDEL', k_load, who)
      end
    end
  end
  if #lost > 0 then
    call('ZREM', k_alive, unpack(lost))
    call('HDEL', k_alone, unpack(lost))
    call('HDEL', k_caps, unpack(lost))
    event('worker.dead', lost)
    count('workers_dead', #lost)
  end
end

local function expire(id, record)
  abandon(id, record, 'expired', '"not begun in time"')
end

-- Up to 1000 timers that are due.
local function due()
  local list = call('ZRANGEBYSCORE', k_timers, '-inf', now, 'LIMIT', 0, CHUNK)
  if #list == 0 then return end
  call('ZREM', k_timers, unpack(list))
  for _, timer in ipairs(list) do
    local what, id, attempt = string.match(timer, '^(%a):([^:]+):?(%d*)$')
    local record, held = call('HGET', k_task, id), call('HGET', k_held, id)
    if record and what == 't' and held then
      local who, number, since = string.match(held, HOLDS)
      if number == attempt then
        unhold(id, who)
        local _, _, _, _, _, timeout = string.match(record, RECORD)
        fail(id, record, '"timed out after ' .. timeout / 1000 .. ' s"', true, attempt, who, since)
      end
    elseif record and not held and what ~= 't' and not call('ZSCORE', k_dead, id) then
      local _, expires, lane, priority = string.match(record, RECORD)
      if expires ~= '0' and tonumber(expires) <= now then
        expire(id, record)
      elseif what == 'd' then
        arrive(id, lane, ticks(1) - priority * conf.aging)
      end
    end
  end
end

-- Up to `want` of the first ready tasks of these lanes.
local function pick(lanes, want)
  local ids = {}
  if #lanes == 0 then
    return ids
  elseif #lanes == 1 then
    local list = call('ZPOPMIN', base .. 'ready:' .. lanes[1], want)
    for i = 1, #list, 2 do ids[#ids + 1] = list[i] end
  else
    local all = {}
    for _, lane in ipairs(lanes) do
      local list = call('ZRANGE', base .. 'ready:' .. lane, 0, want - 1, 'WITHSCORES')
      for i = 1, #list, 2 do all[#all + 1] = { tonumber(list[i + 1]), list[i], lane } end
    end
    table.sort(all, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
    local taken = {}
    for i = 1, math.min(want, #all) do
      local _, id, lane = unpack(all[i])
      ids[i] = id
      taken[lane] = taken[lane] or {}
      table.insert(taken[lane], id)
    end
    for lane, list in pairs(taken) do variadic('ZREM', base .. 'ready:' .. lane, list) end
  end
  for _, lane in ipairs(lanes) do
    if call('EXISTS', base .. 'ready:' .. lane) == 0 then
      call('SREM', k_lanes, lane)
    elseif #ids > 0 then
      wake(lane)
    end
  end
  return ids
end

-- Lanes whose first task has waited for an empty worker for half a minute: a busy one may have it.
local function overdue(lanes)
  local late = {}
  for _, lane in ipairs(lanes) do
    local id = call('ZRANGE', base .. 'ready:' .. lane, 0, 0)[1]
    local death = id and call('HGET', k_deaths, id)
    if not death or now - string.match(death, '%d+$') > 30000 then late[#late + 1] = lane end
  end
  return late
end

-- Which tasks this worker gets. What may have killed its worker runs alone: nothing else is held with it.
local function choose(worker, want, capabilities)
  if suspects and call('HEXISTS', k_alone, worker) == 1 then return {}, false end
  local has, lanes, doubtful = set_of(capabilities), {}, {}
  for _, lane in ipairs(call('SMEMBERS', k_lanes)) do
    if string.sub(lane, 1, 1) ~= '!' then
      if lane == '' or fits(lane, has) then lanes[#lanes + 1] = lane end
    elseif fits(string.sub(lane, 2), has) then
      doubtful[#doubtful + 1] = lane
    end
  end
  if #doubtful > 0 then
    local busy = call('HEXISTS', k_load, worker) == 1
    local ids = pick(busy and overdue(doubtful) or doubtful, 1)
    if #ids > 0 then return ids, true end
  end
  return pick(lanes, want), false
end

local function outcomes_of_parents(ids)
  local found = {}
  if call('HLEN', k_par) == 0 then return found end
  for _, id in ipairs(ids) do
    for parent in string.gmatch(call('HGET', k_par, id) or '', '%S+') do
      found[#found + 1] = id
      found[#found + 1] = parent
      found[#found + 1] = call('HGET', k_out, parent) or ''
    end
  end
  return found
end

local function claim(worker, want, capabilities)
  local ids, alone = choose(worker, want, capabilities)
  if #ids == 0 then return {}, {} end
  local claimed, holds, numbers, timers, mine = {}, {}, {}, {}, {}
  for from = 1, #ids, CHUNK do
    local to = math.min(from + CHUNK - 1, #ids)
    local records = call('HMGET', k_task, unpack(ids, from, to))
    local before = call('HMGET', k_attempts, unpack(ids, from, to))
    for i = 1, to - from + 1 do
      local id, record = ids[from + i - 1], records[i]
      if record then
        local submitted, expires, _, _, _, timeout, _, _, kind = string.match(record, RECORD)
        if expires ~= '0' and tonumber(expires) <= now then
          expire(id, record)
        else
          local attempt = (before[i] or 0) + 1
          local k = #mine
          mine[k + 1] = id
          claimed[3 * k + 1], claimed[3 * k + 2], claimed[3 * k + 3] = id, attempt, record
          numbers[2 * k + 1], numbers[2 * k + 2] = id, attempt
          holds[2 * k + 1] = id
          holds[2 * k + 2] = worker .. ' ' .. attempt .. ' ' .. now .. ' ' .. submitted .. ' ' .. kind
          if timeout ~= '0' then
            timers[#timers + 1] = now + timeout
            timers[#timers + 1] = 't:' .. id .. ':' .. attempt
          end
        end
      end
    end
  end
  if #mine == 0 then return {}, {} end
  variadic('HSET', k_held, holds)
  variadic('HSET', k_attempts, numbers)
  variadic('ZADD', k_timers, timers)
  call('HINCRBY', k_load, worker, #mine)
  if alone then call('HSET', k_alone, worker, mine[1]) end
  count('tasks_distributed', #mine)
  event('task.claimed', mine, 'by', worker)
  return claimed, outcomes_of_parents(mine)
end
