-- workflow_show: a workflow with its steps, each as an open record or as an outcome.
-- args: workflow, waiting client or '' (it gets the outcome of each open step as it ends, in its reply list)
-- answers: its JSON, steps still open, per step: [outcome or '', state, fails, progress, hold]; state of an
--     open or dead one: waiting delayed ready running dead, else ''
-- key task      HASH    id -> record, of open and dead tasks
-- key out       HASH    id -> outcome of ended tasks
-- key timers    ZSET    d:<id> delayed until
-- key held      HASH    id -> worker attempt since_ms submitted_ms type: the running tasks
-- key fails     HASH    id -> failures so far, and the last error
-- key progress  HASH    id -> what its worker said last
-- key dead      ZSET    id -> when it was given up
-- key deps      HASH    id -> parents not yet done
-- key wf        HASH    workflow -> its JSON
-- key waits     HASH    id -> who wants its outcome; gone when the task ends, 1000 a task at most
local call = redis.call
local text = call('HGET', k_wf, ARGV[1])
if not text then return redis.error_reply('NOTFOUND there is no workflow ' .. ARGV[1]) end
local client, open, rows = ARGV[2], 0, {}
for _, step in ipairs(cjson.decode(text).steps) do
  local id = step.id
  local known, outcome, state = call('HEXISTS', k_task, id) == 1, call('HGET', k_out, id) or '', ''
  if known and call('ZSCORE', k_dead, id) then
    state = 'dead'
  elseif known then
    open = open + 1
    if call('HEXISTS', k_held, id) == 1 then
      state = 'running'
    elseif call('HEXISTS', k_deps, id) == 1 then
      state = 'waiting'
    else
      state = call('ZSCORE', k_timers, 'd:' .. id) and 'delayed' or 'ready'
    end
    if client ~= '' then
      local waiting = call('HGET', k_waits, id) or ''
      if #waiting < 21000 and not string.find(' ' .. waiting .. ' ', ' ' .. client .. ' ', 1, true) then
        call('HSET', k_waits, id, waiting == '' and client or waiting .. ' ' .. client)
      end
    end
  end
  rows[#rows + 1] = { outcome, state, call('HGET', k_fails, id) or '', call('HGET', k_progress, id) or '',
    call('HGET', k_held, id) or '' }
end
return { text, open, rows }
