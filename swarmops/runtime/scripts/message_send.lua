-- message_send: put a message into an inbox. args: address, sender, id, header, payload, cost, ms after
-- which nobody wants it (0: never), an answer is waited for (1, 0)
-- key inbox    STREAM  h header, p payload, x expiry; at most `inbox` entries, until acknowledged or a week unused; group `in`
-- key target   HASH    the agent or swarm, which must be known
-- key inboxes  ZSET    address -> last use, ms; those of the last week
-- key request  HASH    to, answered; only while an answer is waited for
-- key sent     ZSET    ids of this sender -> ms; 2,000, 5 minutes
-- key rate     STRING  this sender's bucket; gone when full again
-- key limits   HASH    rate burst inbox history age
-- key stats    HASH    counters
-- include registry
-- include message_lib
-- -> new (1, 0), entries in the inbox
local address, sender, id, cost, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6]), tonumber(ARGV[7])
if redis.call('ZSCORE', k_sent, id) then
  return {0, redis.call('XLEN', k_inbox)}
end
if redis.call('EXISTS', k_target) == 0 and not redis.call('ZSCORE', k_inboxes, address) then
  return redis.error_reply('NOTFOUND there is no ' .. address .. ': nobody has registered or read as that')
end
local set, now = limits(), clock()
local length = redis.call('XLEN', k_inbox)
if length >= set.inbox then
  return redis.error_reply('FULL the inbox of ' .. address .. ' holds ' .. length .. ' messages that nobody has read')
end
local bucket, why = spend(set, now, sender, cost)
if not bucket then
  return why
end
if ttl > 0 then
  redis.call('XADD', k_inbox, '*', 'h', ARGV[4], 'p', ARGV[5], 'x', text(now + ttl))
else
  redis.call('XADD', k_inbox, '*', 'h', ARGV[4], 'p', ARGV[5])
end
if length == 0 then
  redis.pcall('XGROUP', 'CREATE', k_inbox, 'in', '0')
end
redis.call('PEXPIRE', k_inbox, WEEK)
redis.call('ZADD', k_inboxes, now, address)
redis.call('ZREMRANGEBYSCORE', k_inboxes, '-inf', now - WEEK)
if ARGV[8] == '1' then
  redis.call('HSET', k_request, 'to', address)
  redis.call('PEXPIRE', k_request, ttl)
end
spent(set, bucket)
remember(id, now)
count('messages_sent')
return {1, length + 1}
