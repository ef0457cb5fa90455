-- purge: forgets dead tasks for good, the oldest first, or all outcomes of ended ones.
-- args: 'dead' or 'ended', limit;  answers: how many
-- key task    HASH    id -> record
-- key out     HASH    id -> outcome
-- key conf    HASH    settings of the queue
-- key stats   HASH    counters
-- key events  STREAM  audit trail, about 10,000 entries
-- key attempts  HASH  id -> claims so far
-- key fails   HASH    id -> failures so far, and the last error
-- key deaths  HASH    id -> workers that died while they held it
-- key fin     LIST    ms:id of outcomes
-- key dead    ZSET    id -> when it was given up
-- key par     HASH    id -> its parents
-- include queue
local ids = {}
if ARGV[1] == 'dead' then
  ids = call('ZRANGE', k_dead, 0, ARGV[2] - 1)
  for _, key in ipairs({ k_task, k_out, k_attempts, k_fails, k_deaths, k_par }) do variadic('HDEL', key, ids) end
  variadic('ZREM', k_dead, ids)
else
  for i, one in ipairs(call('LPOP', k_fin, ARGV[2]) or {}) do ids[i] = string.match(one, ':(.*)$') end
  variadic('HDEL', k_out, ids)
end
count('tasks_purged', #ids)
event('task.purged', ids)
return #ids
