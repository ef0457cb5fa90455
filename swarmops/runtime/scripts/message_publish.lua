-- message_publish: put a message into a channel. args: channel, sender, id, header, payload, cost
-- key channel   STREAM  h header, p payload, n number; `history` entries, `age` ms
-- key member    ZSET    address -> last seen, ms: who gets it
-- key channels  ZSET    name -> last use, ms; at most 1,000
-- key numbers   HASH    name -> messages so far; the same names
-- key sent      ZSET    ids of this sender -> ms; 2,000, 5 minutes
-- key rate      STRING  this sender's bucket; gone when full again
-- key limits    HASH    rate burst inbox history age
-- key stats     HASH    counters
-- include registry
-- include message_lib
-- -> new (1, 0), members of the channel
local name, sender, id, cost = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6])
local members = redis.call('ZCARD', k_member)
if redis.call('ZSCORE', k_sent, id) then
  return {0, members}
end
local set, now = limits(), clock()
local bucket, why = spend(set, now, sender, cost)
if not bucket then
  return why
end
if redis.call('ZCARD', k_channels) >= 1000 and not redis.call('ZSCORE', k_channels, name) then
  local oldest = redis.call('ZRANGE', k_channels, 0, 0, 'WITHSCORES')
  if tonumber(oldest[2]) > now - set.age then
    return redis.error_reply('FULL there are 1,000 channels in use')
  end
  redis.call('ZREM', k_channels, oldest[1])
  redis.call('HDEL', k_numbers, oldest[1])
end
local n = redis.call('HINCRBY', k_numbers, name, 1)
redis.call('XADD', k_channel, 'MAXLEN', set.history, '*', 'h', ARGV[4], 'p', ARGV[5], 'n', n)
redis.call('XTRIM', k_channel, 'MINID', '~', text(now - set.age))
redis.call('PEXPIRE', k_channel, set.age)
redis.call('ZADD', k_channels, now, name)
spent(set, bucket)
remember(id, now)
count('messages_broadcast')
count('messages_sent')
return {1, members}
