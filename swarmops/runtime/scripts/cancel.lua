-- cancel: ends an open task, and stops those that need it; a worker that runs it hears so at its next step.
-- args: id, reason as JSON string;  answers: what it was (the cancelled and unknown are told apart by errors)
-- key task    HASH    id -> record
-- key out     HASH    id -> outcome
-- key lanes   SET     lanes that may hold ready tasks
-- key clock   STRING  the last number given to a ready task
-- key timers  ZSET    d:<id>, x:<id>, t:<id>:<attempt> -> ms
-- key wake    LIST    one token
-- key conf    HASH    settings of the queue
-- key stats   HASH    counters
-- key events  STREAM  audit trail, about 10,000 entries
-- key held    HASH    id -> worker attempt since_ms submitted_ms type
-- key load    HASH    worker -> number of tasks it holds
-- key alone   HASH    worker -> the suspect task it runs alone
-- key attempts  HASH  id -> claims so far
-- key fails   HASH    id -> failures so far, and the last error
-- key deaths  HASH    id -> workers that died while they held it
-- key progress  HASH  id -> what its worker said last
-- key fin     LIST    ms:id of outcomes
-- key dead    ZSET    id -> when it was given up
-- key deps    HASH    id -> parents not yet done
-- key next    HASH    id -> its children
-- key par     HASH    id -> its parents
-- key wfleft  HASH    workflow -> tasks not yet ended
-- key waits   HASH    id -> who wants its outcome
-- family ready   ZSET  <base>ready:<lane>
-- family reply   LIST  <base>reply:<client>: an outcome, for a minute
-- family wake    LIST  <base>wake:<capability>
-- family wfdone  LIST  <base>wfdone:<workflow>
-- include queue
-- include ending
local id = ARGV[1]
local record = call('HGET', k_task, id)
local over = call('HGET', k_out, id)
if over then
  local status = string.match(over, '^{"status":"(%a+)"')
  if status == 'cancelled' then return status end
  return redis.error_reply('ILLEGAL task ' .. id .. ' has ended: ' .. status)
end
if not record then return redis.error_reply('NOTFOUND there is no task ' .. id) end
call('HDEL', k_progress, id)
local was, held = 'open', call('HGET', k_held, id)
if held then
  local worker, attempt, since = string.match(held, HOLDS)
  was = 'running'
  unhold(id, worker)
  call('ZREM', k_timers, 't:' .. id .. ':' .. attempt)
  abandon(id, record, 'cancelled', ARGV[2], attempt, worker, since)
else
  abandon(id, record, 'cancelled', ARGV[2])
end
settle()
trim()
return was
