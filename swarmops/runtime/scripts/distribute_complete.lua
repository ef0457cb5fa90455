-- distribute_complete: a swarm has ended a task, once. args: swarm, task, attempt, done or failed, result (JSON), error
-- key pending  ZSET    id -> score; those that wait; at most 100,000 with the stuck
-- key stuck    ZSET    id -> score; those that no active swarm can do
-- key at       HASH    id -> where it is (see distribute_lib.lua)
-- key body     HASH    id -> JSON
-- key out      HASH    id -> JSON of how it ended; the last 10,000
-- key ended    ZSET    id -> ms
-- key dist     HASH    strategy, cursor, able, number
-- key busy     SET     swarms that have something open
-- key hint     LIST    one token when there is something to do; a minute
-- key swarms   ZSET    id -> ms when created
-- key inboxes  ZSET    address -> last use, ms
-- key leader   STRING  who leads
-- key term     STRING  the newest fencing token
-- key events   STREAM  about 10000
-- key stats    HASH    counters
-- family assigned  ZSET    {reg}:assigned:<swarm>: id -> score
-- family swarm     HASH    {reg}:swarm:<id>: load
-- family inbox     STREAM  {reg}:inbox:swarm.<id>
-- include registry
-- include coord_lib
-- include distribute_lib
-- -> 1, or 0 if it had said so before; refused when the task is another's by now
local swarm, id, attempt, status, result, problem = unpack(ARGV)
local it = place(id)
if not it then
  local ended = redis.call('HGET', k_out, id)
  if not ended then
    return redis.error_reply('NOTFOUND there is no task ' .. id .. ' in distribution, or it ended long ago')
  end
  local was = cjson.decode(ended)
  if was.swarm == swarm and was.attempt == tonumber(attempt) then
    return 0
  end
  return redis.error_reply('LATE ' .. id .. ' was ended by ' .. was.swarm .. ' (attempt ' .. was.attempt .. ')')
end
if it.status ~= 'assigned' or it.swarm ~= swarm or it.attempt ~= tonumber(attempt) then
  return redis.error_reply('LATE ' .. id .. ' was taken from ' .. swarm .. ': it is ' .. it.status ..
    (it.swarm ~= '-' and ' to ' .. it.swarm or '') .. ' (attempt ' .. it.attempt .. ', not ' .. attempt .. ')')
end
redis.call('ZREM', root .. 'assigned:' .. swarm, id)
local now = clock()
local record = cjson.encode({status = status, attempt = it.attempt, swarm = swarm, at = now, error = problem})
if result ~= '' then
  record = record:sub(1, -2) .. ',"result":' .. result .. '}'
end
finish(id, record, now)
load_of(swarm)
note('assignment.' .. status, id, 'swarm', swarm, 'attempt', attempt)
count('assignments_' .. status)
return 1
