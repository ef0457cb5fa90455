-- workflow_submit: accepts all tasks of a workflow, or none. A workflow whose id is known is left as it is.
-- args: workflow, its JSON without the last brace, n, then n times, parents first: id,
--     record with 0|time to live_ms in the place of its first two fields, number of parents, children, parents
-- answers: 1 (new) or 0 (known)
-- key task    HASH    id -> record, of open and dead tasks; conf.limit at most
-- key out     HASH    id -> outcome of ended tasks, bounded by conf.keep and conf.kept
-- key lanes   SET     lanes that may hold ready tasks; 256 at most
-- key clock   STRING  the last number given to a ready task, about microseconds
-- key timers  ZSET    x:<id> expires -> ms
-- key wake    LIST    one token: there is something for an idle worker
-- key conf    HASH    settings of the queue
-- key stats   HASH    counters
-- key events  STREAM  audit trail, about 10,000 entries
-- key fin     LIST    ms:id of outcomes, oldest first
-- key deps    HASH    id -> parents not yet done
-- key next    HASH    id -> its children
-- key par     HASH    id -> its parents
-- key wfleft  HASH    workflow -> tasks not yet ended
-- key wf      HASH    workflow -> its JSON; goes when the outcomes of its tasks are gone
-- key wfs     ZSET    workflow -> when it was submitted, ms; as many as in wf
-- key wfturn  LIST    workflows in the order in which they are looked at for removal; as many as in wf
-- family ready  ZSET  <base>ready:<lane>: id -> score, lowest first
-- family wake   LIST  <base>wake:<capability>: the token for those who have it
-- family wfdone  LIST  <base>wfdone:<workflow>: its ended tasks, until it ends
-- include queue
local workflow, body, n = ARGV[1], ARGV[2], tonumber(ARGV[3])
if call('HEXISTS', k_wf, workflow) == 1 then return 0 end
local open = call('HLEN', k_task)
if open + n > conf.limit then
  return redis.error_reply(string.format('FULL queue full (%d of %d)', open, conf.limit))
end

local tick = math.max(tonumber(call('GET', k_clock) or 0) + 1, now_us)
local ids, records, timers, deps, nexts, pars, lanes = {}, {}, {}, {}, {}, {}, {}
for i = 1, n do
  local o = 4 + (i - 1) * 5
  local id, text, parents, children = ARGV[o], ARGV[o + 1], tonumber(ARGV[o + 2]), ARGV[o + 3]
  if call('HEXISTS', k_task, id) == 1 or call('HEXISTS', k_out, id) == 1 then
    return redis.error_reply('EXISTS there is a task ' .. id .. ' already: give the workflow another id')
  end
  local ttl, from, lane, priority, kind = string.match(text, '^%d+|(%d+)()|([^|]*)|(%d)|%d+|%d+|%d+|[^|]*|([^|]*)|%d*\n')
  if not ttl then return redis.error_reply('ILLEGAL a task has no proper head') end
  if conf.kinds and not string.find(conf.kinds, ',' .. kind .. ',', 1, true) then
    return redis.error_reply('ILLEGAL no worker knows the type ' .. kind .. ' (known: ' .. found[6] .. ')')
  end
  local expires = 0
  if ttl ~= '0' then
    expires = now + ttl
    timers[#timers + 1], timers[#timers + 2] = expires, 'x:' .. id
  end
  ids[i] = id
  records[#records + 1], records[#records + 2] = id, now .. '|' .. expires .. string.sub(text, from)
  lanes[lane] = true
  if parents == 0 then
    arrive(id, lane, tick - priority * conf.aging)
    tick = tick + 1
  else
    deps[#deps + 1], deps[#deps + 2] = id, parents
    pars[#pars + 1], pars[#pars + 2] = id, ARGV[o + 4]
  end
  if children ~= '' then nexts[#nexts + 1], nexts[#nexts + 2] = id, children end
end
local more = call('SCARD', k_lanes)
for lane in pairs(lanes) do
  if call('SISMEMBER', k_lanes, lane) == 0 then more = more + 1 end
end
if more > LANES then return redis.error_reply('FULL too many combinations of needs (' .. LANES .. ')') end

variadic('HSET', k_task, records)
variadic('HSET', k_deps, deps)
variadic('HSET', k_next, nexts)
variadic('HSET', k_par, pars)
call('HSET', k_wf, workflow, body .. ',"submitted":' .. now .. '}')
call('HSET', k_wfleft, workflow, n)
call('ZADD', k_wfs, now, workflow)
call('SET', k_clock, string.format('%.0f', tick - 1))
variadic('ZADD', k_timers, timers)
arrived()
count('workflows_submitted', 1)
count('tasks_submitted', n)
event('workflow.submitted', { workflow })
event('task.submitted', ids, 'workflow', workflow)

-- Two of the others are looked at: what is over, and whose outcomes were dropped, is forgotten. One whose dead steps
-- were purged is over too, though nobody counted it down: what it kept gets the age of its end.
local function over(one, text)
  if call('HEXISTS', k_wfleft, one) == 0 then return true end
  for _, step in ipairs(cjson.decode(text).steps) do
    if call('HEXISTS', k_task, step.id) == 1 then return false end
  end
  call('HDEL', k_wfleft, one)
  local fins = call('LRANGE', base .. 'wfdone:' .. one, 0, -1)
  for i, id in ipairs(fins) do fins[i] = now .. ':' .. id end
  variadic('RPUSH', k_fin, fins)
  call('DEL', base .. 'wfdone:' .. one)
  return true
end
for _ = 1, 2 do
  local one = call('LPOP', k_wfturn)
  if not one then break end
  local text = call('HGET', k_wf, one)
  if over(one, text) and call('HEXISTS', k_out, string.match(text, '"last":"([^"]*)"')) == 0 then
    call('HDEL', k_wf, one)
    call('ZREM', k_wfs, one)
  else
    call('RPUSH', k_wfturn, one)
  end
end
call('RPUSH', k_wfturn, workflow)
return 1
