-- lib: what the scripts of a task queue share. They all declare `-- key task`, and of the others what they name.
--
-- A task's record: ten fields in a line, then the JSON its users wrote. An outcome: one JSON object.
--     submitted_ms|expires_ms or 0|lane|priority|retries|timeout_ms or 0|backoff_ms|workflow|type|where args begin
--     {"type":"echo","args":{...}}
-- A lane is the needed capabilities, sorted, joined by commas. `!lane` holds the tasks of it whose worker died.
local call = redis.call
local base = string.sub(k_task, 1, -5)
local RECORD = '^(%d+)|(%d+)|([^|]*)|(%d)|(%d+)|(%d+)|(%d+)|([^|]*)|([^|]*)|(%d*)\n'
local CHUNK = 1000 -- what one variadic command takes
local LANES = 256
local clock = call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)

-- Settings of this queue, with what holds when nothing was set.
local found = call('HMGET', base .. 'conf', 'limit', 'aging', 'keep', 'kept', 'audit', 'kinds', 'deaths')
local conf = {
  limit = tonumber(found[1] or 1000000), -- open and dead tasks
  aging = tonumber(found[2] or 300) * 1000000, -- a priority level is worth so many microseconds of waiting
  keep = tonumber(found[3] or 86400) * 1000, -- ms that an outcome is kept
  kept = tonumber(found[4] or 100000), -- outcomes at most
  audit = found[5] ~= '0',
  kinds = found[6] and found[6] ~= '' and ',' .. found[6] .. ',',
  deaths = tonumber(found[7] or 3),
}
if conf.aging == 0 then conf.aging = 2 ^ 49 end -- strict: nobody waits 17 years

local function variadic(command, key, list)
  for first = 1, #list, CHUNK do
    call(command, key, unpack(list, first, math.min(first + CHUNK - 1, #list)))
  end
end

-- One entry for up to 100 tasks, so that the audit trail costs little.
local function event(what, ids, field, value)
  if not conf.audit then return end
  for first = 1, #ids, 100 do
    local last = math.min(first + 99, #ids)
    local joined = table.concat(ids, ' ', first, last)
    if field then
      call('XADD', base .. 'events', 'MAXLEN', '~', 10000, '*', 'what', what, 'id', joined, field, value)
    else
      call('XADD', base .. 'events', 'MAXLEN', '~', 10000, '*', 'what', what, 'id', joined)
    end
  end
end

local function count(what, n)
  if n ~= 0 then call('HINCRBY', base .. 'stats', what, n) end
end

-- A hint for idle workers; a lane wakes those that wait for its first capability.
local function wake(lane)
  local first = string.match(lane, '^!?([^,!]+)')
  local key = first and base .. 'wake:' .. first or base .. 'wake'
  if call('LLEN', key) == 0 then call('LPUSH', key, '1') end
end

-- Numbers that order tasks: microseconds, each used once.
local function ticks(n)
  local last = tonumber(call('GET', base .. 'clock') or 0)
  local first = math.max(last + 1, now_us)
  call('SET', base .. 'clock', string.format('%.0f', first + n - 1))
  return first
end

-- Tasks that become ready are collected and written at once, lane by lane.
local arrivals = {}
local function arrive(id, lane, score)
  local list = arrivals[lane]
  if not list then
    list = {}
    arrivals[lane] = list
  end
  list[#list + 1] = score
  list[#list + 1] = id
end
local function arrived()
  for lane, list in pairs(arrivals) do
    variadic('ZADD', base .. 'ready:' .. lane, list)
    call('SADD', base .. 'lanes', lane)
    wake(lane)
  end
  arrivals = {}
end
