-- synthesis_answer: what the holder made of it. Refuses LEASELOST when it was given to somebody else.
-- args: shard, id, consumer, attempt, answer JSON ('': hold it so many ms longer), lease ms
-- answers: 1
-- key meta    HASH    as shard_open wrote it
-- key held    ZSET    id -> when the lease runs out
-- key done    ZSET    id -> when it ended; the last 1,000
-- key events  STREAM  what happened to it, about 1,000 entries
-- family synthesis  HASH  <base>synthesis:<id>
-- family answer     LIST  <base>answer:<id>
-- include shard_lib
local shard, id, consumer, attempt, answer, lease = unpack(ARGV)
local key = base .. 'synthesis:' .. id
local now_is = call('HMGET', key, 'status', 'holder', 'attempts', 'answer')
if not now_is[1] then return redis.error_reply('NOTFOUND there is no synthesis request ' .. shard .. '.' .. id) end
if now_is[2] ~= consumer or now_is[3] ~= attempt then
  return redis.error_reply('LEASELOST ' .. shard .. '.' .. id .. ' was given to ' .. (now_is[2] or 'nobody') ..
    ', attempt ' .. now_is[3])
end
if now_is[1] == 'answered' and now_is[4] == answer then return 1 end
if now_is[1] ~= 'claimed' then
  return redis.error_reply('LEASELOST ' .. shard .. '.' .. id .. ' is ' .. now_is[1] .. ' and no longer yours')
end
if answer == '' then
  call('ZREM', k_held, id) -- first what shrinks: a full Redis lets the rest pass
  call('ZADD', k_held, now + lease, id)
  return 1
end
call('ZREM', k_held, id)
call('HSET', key, 'status', 'answered', 'answer', answer, 'ended', now)
ended(id)
event('synthesis.answered', shard .. '.' .. id)
live()
return 1
