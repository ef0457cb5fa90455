-- wait: asks for the outcomes of tasks, each once, to be pushed to the caller's own list: at once if it has ended.
-- args: client, n, ids;  answers: for each 1 it is there, 0 not yet, -1 no such task, -2 too many wait for it
-- key task   HASH  id -> record
-- key out    HASH  id -> outcome
-- key waits  HASH  id -> clients; gone when the task ends, 1000 a task at most
-- family reply  LIST  <base>reply:<client>: id outcome, for a minute
local client, answer = ARGV[1], {}
local reply = string.sub(k_task, 1, -5) .. 'reply:' .. client
local function push(text)
  redis.call('RPUSH', reply, text)
  redis.call('PEXPIRE', reply, 60000)
end
for i = 3, #ARGV do
  local id = ARGV[i]
  local over, waiting = redis.call('HGET', k_out, id), redis.call('HGET', k_waits, id) or ''
  answer[i - 2] = 0
  if over then
    push(id .. ' ' .. over)
    answer[i - 2] = 1
  elseif redis.call('HEXISTS', k_task, id) == 0 then
    push('') -- whoever blocks on the list goes on
    answer[i - 2] = -1
  elseif not string.find(' ' .. waiting .. ' ', ' ' .. client .. ' ', 1, true) then
    if #waiting > 21000 then
      push('')
      answer[i - 2] = -2
    else
      redis.call('HSET', k_waits, id, waiting == '' and client or waiting .. ' ' .. client)
    end
  end
end
return answer
