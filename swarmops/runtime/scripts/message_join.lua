-- message_join: receive what is sent to a channel, from now on, or from where this address stopped. args: addresses
-- key channel  STREAM  h header, p payload, n number
-- key cursor   HASH    address -> "<last mark> <its number>"; the same addresses as member
-- key member   ZSET    address -> last seen, ms; at most 10,000, a week
-- key number   HASH    channel -> messages so far
-- include registry
-- -> cursors, in the order of the addresses. The last argument is the channel's name.
local now, name = clock(), ARGV[#ARGV]
local week = now - 7 * 86400 * 1000
local old = redis.call('ZRANGEBYSCORE', k_member, '-inf', week, 'LIMIT', 0, 1000)
for _, address in ipairs(old) do
  redis.call('ZREM', k_member, address)
  redis.call('HDEL', k_cursor, address)
end
if redis.call('ZCARD', k_member) + #ARGV - 1 > 10000 then
  local new = 0
  for i = 1, #ARGV - 1 do
    new = new + (redis.call('ZSCORE', k_member, ARGV[i]) and 0 or 1)
  end
  if redis.call('ZCARD', k_member) + new > 10000 then
    return redis.error_reply('FULL channel ' .. name .. ' has 10,000 members')
  end
end
local last = redis.call('XREVRANGE', k_channel, '+', '-', 'COUNT', 1)[1]
local at = (last and last[1] or text(now - 1) .. '-999999') .. ' ' .. (redis.call('HGET', k_number, name) or '0')
local found = {}
for i = 1, #ARGV - 1 do
  redis.call('HSETNX', k_cursor, ARGV[i], at)
  redis.call('ZADD', k_member, now, ARGV[i])
  found[i] = redis.call('HGET', k_cursor, ARGV[i])
end
return found
