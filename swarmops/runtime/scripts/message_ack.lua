-- message_ack: what was handled is forgotten. args: marks, at most 1,000
-- key inbox    STREAM  h header, p payload; group `in`
-- key stats    HASH    counters
-- -> how many there were
if redis.call('EXISTS', k_inbox) == 0 then
  return 0
end
redis.call('XACK', k_inbox, 'in', unpack(ARGV))
local n = redis.call('XDEL', k_inbox, unpack(ARGV))
if n > 0 then
  redis.call('HINCRBY', k_stats, 'messages_acked', n)
end
return n
