-- synthesis_put: somebody is to make one of several findings; or has (then the answer is given). Known id: nothing new.
-- args: shard, id, pass, by, body JSON, answer JSON or '', n, then n finding ids of this shard that must be there
-- answers: 1, or 0 if the id was known
-- key meta     HASH    as shard_open wrote it
-- key finding  HASH    id -> record
-- key open     ZSET    id -> number in order; 1,000 at most
-- key done     ZSET    id -> when it ended; the last 1,000
-- key events   STREAM  what happened to it, about 1,000 entries
-- family synthesis  HASH  <base>synthesis:<id>: status, pass, by, body, created, attempts, holder, answer, ended
-- family wake       LIST  <base>wake: one token, there is something open
-- family answer     LIST  <base>answer:<id>: one token for those who wait, 1 h
-- include shard_lib
local shard, id, pass, by, body, answer, n = unpack(ARGV, 1, 7)
if not known() then return redis.error_reply(MISSING) end
local key = base .. 'synthesis:' .. id
if call('EXISTS', key) == 1 then return 0 end
for i = 8, 7 + n do
  if call('HEXISTS', k_finding, ARGV[i]) == 0 then
    return redis.error_reply('NOTFOUND source ' .. shard .. '.' .. ARGV[i] .. ' is not here, or was dropped')
  end
end
if answer == '' and call('ZCARD', k_open) >= 1000 then
  return redis.error_reply('FULL 1000 synthesis requests of this shard wait already')
end
call('HSET', key, 'status', 'open', 'pass', pass, 'by', by, 'body', body, 'created', now, 'attempts', 0)
local keep = tonumber(call('HGET', k_meta, 'keep') or 0)
if keep > 0 then call('PEXPIRE', key, keep) end
if answer == '' then
  call('ZADD', k_open, call('HINCRBY', k_meta, 'requests', 1), id)
  wake()
  event('synthesis.requested', shard .. '.' .. id)
else
  call('HSET', key, 'status', 'answered', 'answer', answer, 'holder', by, 'ended', now)
  ended(id)
  event('synthesis.answered', shard .. '.' .. id)
end
live()
return 1
