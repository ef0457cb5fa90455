-- progress: what the worker that runs a task says of it. Refused (LEASELOST) to any other.
-- args: id, attempt, JSON
-- key task      HASH  id -> record
-- key held      HASH  id -> worker attempt since_ms submitted_ms type
-- key attempts  HASH  id -> claims so far
-- key progress  HASH  id -> what its worker said last; gone when the task ends
local id, attempt = ARGV[1], ARGV[2]
local held = redis.call('HGET', k_held, id)
local number = held and string.match(held, '^%S+ (%d+)')
if number ~= attempt then
  if redis.call('HEXISTS', k_task, id) == 0 then
    return redis.error_reply('LEASELOST task ' .. id .. ' has ended, or was never there')
  end
  local n = redis.call('HGET', k_attempts, id) or '0'
  if n == attempt then return redis.error_reply('LEASELOST lease lost, attempt ' .. attempt .. ' is over') end
  return redis.error_reply('LEASELOST lease lost, attempt ' .. attempt .. ' < ' .. n)
end
redis.call('HSET', k_progress, id, ARGV[3])
return 1
