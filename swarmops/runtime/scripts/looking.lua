-- lib: all that is known of a task: id, record, outcome, hold, attempts, fails, deaths, progress, deps, due ms.
local FACTS = { 'task', 'out', 'held', 'attempts', 'fails', 'deaths', 'progress', 'deps' }
local function facts(id)
  local base, known = string.sub(k_task, 1, -5), { id }
  for i, which in ipairs(FACTS) do known[i + 1] = redis.call('HGET', base .. which, id) or '' end
  known[10] = redis.call('ZSCORE', base .. 'timers', 'd:' .. id) or ''
  return known
end
