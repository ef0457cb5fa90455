-- workflow_cancel: ends every open step as cancelled; results of those that run are refused from now on.
-- args: workflow, why as a JSON string
-- answers: how many steps were open
-- key task      HASH    id -> record, of open and dead tasks
-- key out       HASH    id -> outcome of ended tasks, bounded by conf.keep and conf.kept
-- key lanes     SET     lanes that may hold ready tasks
-- key clock     STRING  the last number given to a ready task
-- key timers    ZSET    what is due when
-- key wake      LIST    one token
-- key conf      HASH    settings of the queue
-- key stats     HASH    counters
-- key events    STREAM  audit trail, about 10,000 entries
-- key held      HASH    id -> worker attempt since_ms submitted_ms type: the running tasks
-- key load      HASH    worker -> number of tasks it holds
-- key alone     HASH    worker -> the suspect task it runs alone
-- key attempts  HASH    id -> claims so far
-- key fails     HASH    id -> failures so far, and the last error
-- key deaths    HASH    id -> workers that died while they held it
-- key progress  HASH    id -> what its worker said last
-- key fin       LIST    ms:id of outcomes, oldest first
-- key dead      ZSET    id -> when it was given up
-- key deps      HASH    id -> parents not yet done
-- key next      HASH    id -> its children
-- key par       HASH    id -> its parents
-- key wfleft    HASH    workflow -> tasks not yet ended
-- key waits     HASH    id -> who wants its outcome
-- key wf        HASH    workflow -> its JSON
-- family ready   ZSET  <base>ready:<lane>: id -> score
-- family reply   LIST  <base>reply:<client>: an outcome, for a minute
-- family wake    LIST  <base>wake:<capability>
-- family wfdone  LIST  <base>wfdone:<workflow>: its ended tasks, until it ends
-- include queue
-- include ending
local text = call('HGET', k_wf, ARGV[1])
if not text then return redis.error_reply('NOTFOUND there is no workflow ' .. ARGV[1]) end
call('HDEL', k_held, '') -- lets everything pass when memory is full: this call frees some
local steps, open = cjson.decode(text).steps, 0
for i = #steps, 1, -1 do -- children first: they are cancelled too, not stopped for want of a parent
  local id = steps[i].id
  local record, held = call('HGET', k_task, id), call('HGET', k_held, id)
  if record and not call('ZSCORE', k_dead, id) then
    open = open + 1
    if held then
      local worker, attempt, since = string.match(held, HOLDS)
      unhold(id, worker)
      abandon(id, record, 'cancelled', ARGV[2], attempt, worker, since)
    else
      abandon(id, record, 'cancelled', ARGV[2])
    end
  end
end
settle()
trim()
if open > 0 then event('workflow.cancelled', { ARGV[1] }) end
return open
