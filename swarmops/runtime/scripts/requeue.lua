-- requeue: dead tasks are tried again, as new ones: failures and deaths are forgotten, attempts go on counting.
-- What was stopped because of them stays stopped.
-- args: limit, ids (none: the oldest `limit` dead ones);  answers: ids
-- key task    HASH    id -> record
-- key out     HASH    id -> outcome
-- key lanes   SET     lanes that may hold ready tasks
-- key clock   STRING  the last number given to a ready task
-- key wake    LIST    one token
-- key conf    HASH    settings of the queue
-- key stats   HASH    counters
-- key events  STREAM  audit trail, about 10,000 entries
-- key fails   HASH    id -> failures so far, and the last error
-- key deaths  HASH    id -> workers that died while they held it
-- key dead    ZSET    id -> when it was given up
-- key wfleft  HASH    workflow -> tasks not yet ended
-- family ready  ZSET  <base>ready:<lane>
-- family wake   LIST  <base>wake:<capability>
-- include queue
local ids = {}
for i = 2, #ARGV do
  ids[#ids + 1] = ARGV[i]
  if not call('ZSCORE', k_dead, ARGV[i]) then
    return redis.error_reply('NOTFOUND there is no dead task ' .. ARGV[i])
  end
end
if #ARGV == 1 then ids = call('ZRANGE', k_dead, 0, ARGV[1] - 1) end
if #ids == 0 then return ids end
for _, id in ipairs(ids) do
  local record = call('HGET', k_task, id)
  local head, rest = string.match(record, '^%d+|%d+(|.-\n)(.*)$')
  -- It has no limit of age any more: that has passed.
  call('HSET', k_task, id, now .. '|0' .. head .. rest)
  call('ZREM', k_dead, id)
  call('HDEL', k_out, id)
  call('HDEL', k_fails, id)
  call('HDEL', k_deaths, id)
  local lane, priority, workflow = string.match(head, '^|([^|]*)|(%d)|%d+|%d+|%d+|([^|]*)|')
  if workflow ~= '' and call('HEXISTS', k_wfleft, workflow) == 1 then call('HINCRBY', k_wfleft, workflow, 1) end
  arrive(id, lane, ticks(1) - priority * conf.aging)
end
arrived()
count('tasks_requeued', #ids)
event('task.requeued', ids)
return ids
