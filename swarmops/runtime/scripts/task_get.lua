-- task_get: all that is known of some tasks.
-- args: ids;  answers: for each [record, outcome, hold, attempts, fails, deaths, progress, deps, due ms] with '' for none
-- key task      HASH  id -> record
-- key out       HASH  id -> outcome
-- key held      HASH  id -> worker attempt since_ms submitted_ms type
-- key attempts  HASH  id -> claims so far
-- key fails     HASH  id -> failures so far, and the last error
-- key deaths    HASH  id -> workers that died while they held it
-- key progress  HASH  id -> what its worker said last
-- key deps      HASH  id -> parents not yet done
-- key timers    ZSET  d:<id> delayed until -> ms
local answer = {}
for i, id in ipairs(ARGV) do
  answer[i] = {}
  for k, key in ipairs({ k_task, k_out, k_held, k_attempts, k_fails, k_deaths, k_progress, k_deps }) do
    answer[i][k] = redis.call('HGET', key, id) or ''
  end
  answer[i][9] = redis.call('ZSCORE', k_timers, 'd:' .. id) or ''
end
return answer
