-- synthesis_claim: the oldest open request is this consumer's for a while; those of the dead are open again before.
-- A request that five consumers did not survive has failed.
-- args: shard, consumer, lease ms
-- answers: {id, its fields} or {'', {}}; then ms until a lease runs out, or -1
-- key meta    HASH    as shard_open wrote it
-- key open    ZSET    id -> number in order
-- key held    ZSET    id -> when the lease runs out
-- key done    ZSET    id -> when it ended
-- key events  STREAM  what happened to it, about 1,000 entries
-- family synthesis  HASH  <base>synthesis:<id>
-- family wake       LIST  <base>wake
-- family answer     LIST  <base>answer:<id>
-- include shard_lib
if not known() then return redis.error_reply(MISSING) end
for _, id in ipairs(call('ZRANGEBYSCORE', k_held, '-inf', now, 'LIMIT', 0, 100)) do
  local key = base .. 'synthesis:' .. id
  call('ZREM', k_held, id)
  if call('EXISTS', key) == 1 then
    if tonumber(call('HGET', key, 'attempts')) >= 5 then
      call('HSET', key, 'status', 'failed', 'ended', now)
      ended(id)
      event('synthesis.failed', ARGV[1] .. '.' .. id)
    else
      call('HSET', key, 'status', 'open')
      call('ZADD', k_open, call('HGET', key, 'place') or 0, id)
    end
  end
end
local taken, fields = '', {}
while taken == '' do
  local first = call('ZPOPMIN', k_open)
  if #first == 0 then break end
  local key = base .. 'synthesis:' .. first[1]
  if call('EXISTS', key) == 1 then
    taken = first[1]
    call('ZADD', k_held, now + ARGV[3], taken)
    call('HINCRBY', key, 'attempts', 1)
    call('HSET', key, 'status', 'claimed', 'holder', ARGV[2], 'place', first[2])
    event('synthesis.claimed', ARGV[1] .. '.' .. taken)
    fields = call('HGETALL', key)
  end
end
if call('ZCARD', k_open) > 0 then wake() end
local due = call('ZRANGE', k_held, 0, 0, 'WITHSCORES')[2]
if taken ~= '' then live() end
return {taken, fields, due and math.max(1, due - now) or -1}
