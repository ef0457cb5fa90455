-- message_leave: receive no more of a channel. args: address
-- key cursor  HASH  address -> "<last mark> <its number>"
-- key member  ZSET  address -> last seen, ms
-- -> 1 if it was a member
redis.call('HDEL', k_cursor, ARGV[1])
return redis.call('ZREM', k_member, ARGV[1])
