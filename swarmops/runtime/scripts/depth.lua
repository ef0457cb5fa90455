-- depth: how full a queue is.
-- answers: [open and dead, running, dead, blocked, limit, age of the next ready task ms, workers, posted, lane, n, ...]
-- key task   HASH  id -> record
-- key held   HASH  id -> worker attempt since_ms submitted_ms type
-- key dead   ZSET  id -> when it was given up
-- key deps   HASH  id -> parents not yet done
-- key conf   HASH  settings of the queue
-- key lanes  SET   lanes that may hold ready tasks
-- key alive  ZSET  worker -> end of its lease, ms
-- key post   LIST  tasks from plain Redis users
-- family ready  ZSET  <base>ready:<lane>
-- include queue
local oldest, lanes = 0, {}
for _, lane in ipairs(call('SMEMBERS', k_lanes)) do
  local n = call('ZCARD', base .. 'ready:' .. lane)
  if n > 0 then
    lanes[#lanes + 1] = lane
    lanes[#lanes + 1] = n
    local record = call('HGET', k_task, call('ZRANGE', base .. 'ready:' .. lane, 0, 0)[1])
    if record then oldest = math.max(oldest, now - string.match(record, '^%d+')) end
  end
end
return { call('HLEN', k_task), call('HLEN', k_held), call('ZCARD', k_dead), call('HLEN', k_deps), conf.limit,
  oldest, call('ZCOUNT', k_alive, now, '+inf'), call('LLEN', k_post), unpack(lanes) }
