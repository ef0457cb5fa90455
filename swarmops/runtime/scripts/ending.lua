-- lib: how tasks end, fail and go back. After `-- include queue`. Collects first; settle() writes everything.
--
-- `holds` of a running task: worker attempt since_ms submitted_ms type
local HOLDS = '^(%S+) (%d+) (%d+) (%d+) (%S*)$'
local ended, outs, gone, fins, freed, unheld = {}, {}, {}, {}, {}, {}
-- Are there workflows, dependencies, orphans, waiters at all? Mostly not: then one question is enough.
local flowing, linked, suspects, awaited = false, false, false, false
if call('EXISTS', base .. 'wfleft', base .. 'next', base .. 'deaths', base .. 'waits') > 0 then
  flowing = call('EXISTS', base .. 'wfleft') == 1
  linked = call('EXISTS', base .. 'next') == 1
  suspects = call('EXISTS', base .. 'deaths') == 1
  awaited = call('EXISTS', base .. 'waits') == 1
end

local function said(kind, id)
  local list = ended[kind]
  if not list then
    list = {}
    ended[kind] = list
  end
  list[#list + 1] = id
end

-- The worker has it no more.
local function unhold(id, worker)
  unheld[#unheld + 1] = id
  freed[worker] = (freed[worker] or 0) + 1
  if suspects and call('HGET', base .. 'alone', worker) == id then call('HDEL', base .. 'alone', worker) end
end

-- Out of every place where an open task may wait.
local function unqueue(id, lane)
  call('ZREM', base .. 'ready:' .. lane, id)
  call('ZREM', base .. 'ready:!' .. lane, id)
  call('ZREM', base .. 'timers', 'd:' .. id, 'x:' .. id)
  call('HDEL', base .. 'deps', id)
end

-- Its outcome is kept for a while; that of a dead task with its record, until it is tried again or purged.
local function keep(id, workflow, dead)
  if workflow ~= '' and flowing and call('HEXISTS', base .. 'wfleft', workflow) == 1 then
    -- Children may still want the outcome.
    if not dead then call('RPUSH', base .. 'wfdone:' .. workflow, id) end
    if call('HINCRBY', base .. 'wfleft', workflow, -1) <= 0 then
      call('HDEL', base .. 'wfleft', workflow)
      for _, one in ipairs(call('LRANGE', base .. 'wfdone:' .. workflow, 0, -1)) do
        fins[#fins + 1] = now .. ':' .. one
      end
      call('DEL', base .. 'wfdone:' .. workflow)
      event('workflow.ended', { workflow })
      count('workflows_ended', 1)
    end
  elseif not dead then
    fins[#fins + 1] = now .. ':' .. id
  end
end

-- status: done dead cancelled expired stopped spoilt. body: `"result":...` or `"error":...`, the rest of the JSON object.
local function close(id, status, kind, submitted, workflow, body, attempt, worker, since)
  local text = '{"status":"' .. status .. '","type":"' .. kind .. '",' .. body .. ',"attempt":' .. (attempt or 0)
  if worker then text = text .. ',"worker":"' .. worker .. '","started":' .. since end
  text = text .. ',"submitted":' .. submitted .. ',"ended":' .. now .. '}'
  outs[#outs + 1] = id
  outs[#outs + 1] = text
  said(status, id)
  if status == 'dead' then
    call('ZADD', base .. 'dead', now, id)
  else
    gone[#gone + 1] = id
  end
  keep(id, workflow, status == 'dead')
end

local stop_children

-- An open task ends without a result, and so do all that need it.
local function abandon(id, record, status, err, attempt, worker, since)
  local submitted, _, lane, _, _, _, _, workflow, kind = string.match(record, RECORD)
  unqueue(id, lane)
  close(id, status, kind, submitted, workflow, '"error":' .. err, attempt, worker, since)
  if linked then stop_children(id, status) end
end

stop_children = function(first, why)
  local todo, at = { { first, why } }, 1
  while todo[at] do
    local parent, reason = todo[at][1], todo[at][2]
    at = at + 1
    local children = call('HGET', base .. 'next', parent)
    call('HDEL', base .. 'next', parent)
    for child in string.gmatch(children or '', '%S+') do
      local record = call('HGET', k_task, child)
      if record and call('HEXISTS', base .. 'deps', child) == 1 then
        local submitted, _, lane, _, _, _, _, workflow, kind = string.match(record, RECORD)
        unqueue(child, lane)
        local err = '"needs ' .. parent .. ', which is ' .. reason .. '"'
        close(child, 'stopped', kind, submitted, workflow, '"error":' .. err)
        todo[#todo + 1] = { child, 'stopped' }
      end
    end
  end
end

-- `id` is done: those that waited for it only are ready.
local function ready_children(id)
  local children = call('HGET', base .. 'next', id)
  if not children then return end
  call('HDEL', base .. 'next', id)
  for child in string.gmatch(children, '%S+') do
    if call('HEXISTS', base .. 'deps', child) == 1 and call('HINCRBY', base .. 'deps', child, -1) <= 0 then
      call('HDEL', base .. 'deps', child)
      local record = call('HGET', k_task, child)
      if record then
        local _, _, lane, priority = string.match(record, RECORD)
        arrive(child, lane, ticks(1) - priority * conf.aging)
      end
    end
  end
end

-- An attempt failed (err: JSON string): again after 1, 2, 4 ... times the backoff, or dead.
-- after: ms until then, where the worker says so.
local function fail(id, record, err, again, attempt, worker, since, after)
  local _, _, _, _, retries, _, backoff = string.match(record, RECORD)
  local before = call('HGET', base .. 'fails', id)
  local n = 1 + tonumber(before and string.match(before, '^%d+') or 0)
  if again and n <= tonumber(retries) then
    call('HSET', base .. 'fails', id, n .. '\n' .. err)
    local wait = after and tonumber(after) or math.min(backoff * 2 ^ (n - 1), 3600000)
    call('ZADD', base .. 'timers', now + math.floor(wait), 'd:' .. id)
    said('failed', id)
  else
    abandon(id, record, 'dead', err, attempt, worker, since)
  end
end

-- A task whose worker is gone or gives it back stands where it stood when it was submitted.
local function go_back(id, record, alone)
  local submitted, _, lane, priority = string.match(record, RECORD)
  arrive(id, (alone and '!' or '') .. lane, submitted * 1000 - priority * conf.aging)
end

local function died(id, record, attempt, worker, since)
  local n = 1 + string.match(call('HGET', base .. 'deaths', id) or '0', '^%d+')
  call('HSET', base .. 'deaths', id, n .. ' ' .. now)
  suspects = true
  if n >= conf.deaths then
    abandon(id, record, 'dead', '"its worker died ' .. n .. ' times"', attempt, worker, since)
  else
    said('orphaned', id)
    go_back(id, record, true)
  end
end

-- Outcomes go to those who wait for them.
local function tell()
  if not awaited then return end
  for i = 1, #outs, 2 do
    local waiting = call('HGET', base .. 'waits', outs[i])
    if waiting then
      call('HDEL', base .. 'waits', outs[i])
      for which in string.gmatch(waiting, '%S+') do
        call('RPUSH', base .. 'reply:' .. which, outs[i] .. ' ' .. outs[i + 1])
        call('PEXPIRE', base .. 'reply:' .. which, 60000)
      end
    end
  end
end

-- Outcomes too old or too many are dropped: a few more than were added.
local function trim()
  local over = call('LLEN', base .. 'fin') - conf.kept
  local dropped, least = {}, math.max(0, math.min(over, #fins + CHUNK))
  if least > 0 then dropped = call('LPOP', base .. 'fin', least) end
  for _ = 1, 10 do
    local oldest = call('LINDEX', base .. 'fin', 0)
    if not oldest or now - string.match(oldest, '^%d+') < conf.keep then break end
    for _, one in ipairs(call('LRANGE', base .. 'fin', 0, 99)) do
      if now - string.match(one, '^%d+') < conf.keep then break end
      dropped[#dropped + 1] = call('LPOP', base .. 'fin')
    end
  end
  for i, one in ipairs(dropped) do dropped[i] = string.match(one, ':(.*)$') end
  variadic('HDEL', base .. 'out', dropped)
end

local HASHES = { 'fails', 'deaths', 'progress', 'par' }
local EVENTS = { done = 'task.done', dead = 'task.dead', cancelled = 'task.cancelled', expired = 'task.expired',
  stopped = 'task.stopped', failed = 'task.retried', orphaned = 'task.orphaned', released = 'task.released',
  spoilt = 'task.spoilt', submitted = 'task.submitted' }

local function settle()
  variadic('HDEL', base .. 'held', unheld)
  for worker, n in pairs(freed) do
    if call('HINCRBY', base .. 'load', worker, -n) <= 0 then call('HDEL', base .. 'load', worker) end
  end
  if #outs > 0 then
    variadic('HDEL', k_task, gone)
    variadic('HDEL', base .. 'attempts', gone)
    if call('EXISTS', base .. 'fails', base .. 'deaths', base .. 'progress', base .. 'par') > 0 then
      for _, which in ipairs(HASHES) do variadic('HDEL', base .. which, gone) end
    end
    variadic('HSET', base .. 'out', outs)
    variadic('RPUSH', base .. 'fin', fins)
    tell()
  end
  arrived()
  for status, ids in pairs(ended) do
    event(EVENTS[status], ids)
    count('tasks_' .. status, #ids)
  end
  ended, outs, gone, fins, freed, unheld = {}, {}, {}, {}, {}, {}
end
