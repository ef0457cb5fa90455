-- submit: accepts tasks, all or (FULL) none. A task whose id is known is left as it is.
-- args: n, then n times: id, record with delay_ms|time to live_ms in the place of its first two fields
-- answers: n times 1 (new) or 0 (known)
-- key task    HASH    id -> record, of open and dead tasks; conf.limit at most
-- key out     HASH    id -> outcome of ended tasks, bounded by conf.keep and conf.kept
-- key lanes   SET     lanes that may hold ready tasks; 256 at most
-- key clock   STRING  the last number given to a ready task, about microseconds
-- key timers  ZSET    d:<id> delayed until, x:<id> expires, t:<id>:<attempt> times out -> ms; up to 3 a task
-- key wake    LIST    one token: there is something for an idle worker
-- key conf    HASH    settings of the queue
-- key stats   HASH    counters
-- key events  STREAM  audit trail, about 10,000 entries
-- family ready  ZSET  <base>ready:<lane>: id -> score, lowest first
-- family wake   LIST  <base>wake:<capability>: the token for those who have it
-- include queue
local n = tonumber(ARGV[1])
local ids, fresh, seen = {}, {}, {}
for i = 1, n do ids[i] = ARGV[i * 2] end
for first = 1, n, CHUNK do
  local last = math.min(first + CHUNK - 1, n)
  local open = call('HMGET', k_task, unpack(ids, first, last))
  local over = call('HMGET', k_out, unpack(ids, first, last))
  for i = 1, last - first + 1 do
    local id = ids[first + i - 1]
    if not open[i] and not over[i] and not seen[id] then
      seen[id] = true
      fresh[#fresh + 1] = first + i - 1
    end
  end
end
local answer = {}
for i = 1, n do answer[i] = 0 end
if #fresh == 0 then return answer end
local open = call('HLEN', k_task)
if open + #fresh > conf.limit then
  return redis.error_reply(string.format('FULL queue full (%d of %d)', open, conf.limit))
end

local tick = math.max(tonumber(call('GET', k_clock) or 0) + 1, now_us)
local records, timers, names = {}, {}, {}
for k = 1, #fresh do
  local i = fresh[k]
  local id, text = ids[i], ARGV[i * 2 + 1]
  local delay, ttl, at, lane, priority = string.match(text, '^(%d+)|(%d+)()|([^|]*)|(%d)|')
  if not delay then return redis.error_reply('ILLEGAL a task has no proper head') end
  if conf.kinds then
    local kind = string.match(text, '|([^|]*)|%d*\n')
    if not string.find(conf.kinds, ',' .. kind .. ',', 1, true) then
      return redis.error_reply('ILLEGAL no worker knows the type ' .. kind .. ' (known: ' .. found[6] .. ')')
    end
  end
  local expires = 0
  if ttl ~= '0' then
    expires = now + ttl
    timers[#timers + 1] = expires
    timers[#timers + 1] = 'x:' .. id
  end
  records[2 * k - 1] = id
  records[2 * k] = now .. '|' .. expires .. string.sub(text, at)
  if delay == '0' then
    arrive(id, lane, tick - priority * conf.aging)
    tick = tick + 1
  else
    timers[#timers + 1] = now + delay
    timers[#timers + 1] = 'd:' .. id
  end
  names[k] = id
  answer[i] = 1
end
local more = call('SCARD', k_lanes)
for lane in pairs(arrivals) do
  if call('SISMEMBER', k_lanes, lane) == 0 then more = more + 1 end
end
if more > LANES then return redis.error_reply('FULL too many combinations of needs (' .. LANES .. ')') end

variadic('HSET', k_task, records)
call('SET', k_clock, string.format('%.0f', tick - 1))
variadic('ZADD', k_timers, timers)
arrived()
count('tasks_submitted', #names)
event('task.submitted', names)
return answer
