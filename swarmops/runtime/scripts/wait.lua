-- wait: asks for a task's outcome, once, to be pushed to the caller's own list: at once if it has ended.
-- args: id, client;  answers: 1 it is there, 0 not yet
-- key task   HASH  id -> record
-- key out    HASH  id -> outcome
-- key waits  HASH  id -> clients; gone when the task ends, 1000 a task at most
-- family reply  LIST  <base>reply:<client>: an outcome, for a minute
local base = string.sub(k_task, 1, -5)
local id, client = ARGV[1], ARGV[2]
local over = redis.call('HGET', k_out, id)
if over then
  redis.call('DEL', base .. 'reply:' .. client)
  redis.call('RPUSH', base .. 'reply:' .. client, over)
  redis.call('PEXPIRE', base .. 'reply:' .. client, 60000)
  return 1
end
if redis.call('HEXISTS', k_task, id) == 0 then return redis.error_reply('NOTFOUND there is no task ' .. id) end
local waiting = redis.call('HGET', k_waits, id) or ''
if string.find(' ' .. waiting .. ' ', ' ' .. client .. ' ', 1, true) then return 0 end
if #waiting > 21000 then return redis.error_reply('FULL too many wait for task ' .. id) end
redis.call('HSET', k_waits, id, waiting == '' and client or waiting .. ' ' .. client)
return 0
