-- shard_roster: the shards that are alive, or all that are known. By the number of shards, whatever they hold.
-- args: all (1) or alive (0), at most so many
-- answers: id, registered ms|keep ms|record, alive until ms; and so on
-- key shards  HASH  id -> registered ms|keep ms|record
-- key until   ZSET  id -> when it is no longer alive unless it beats
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local from = ARGV[1] == '1' and '-inf' or '(' .. string.format('%.0f', now)
local found = redis.call('ZRANGEBYSCORE', k_until, from, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local answer = {string.format('%.0f', now)}
for i = 1, #found, 2 do
  local row = redis.call('HGET', k_shards, found[i])
  if row then
    answer[#answer + 1] = found[i]
    answer[#answer + 1] = row
    answer[#answer + 1] = found[i + 1]
  end
end
return answer
