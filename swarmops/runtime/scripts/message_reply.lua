-- message_reply: answer a request, once, while it is waited for. args: sender, id, header, payload, request's id
-- key request  HASH    to, answered; gone at the deadline
-- key reply    STREAM  the one answer; a minute. A stream, so that reading it again after a lost connection finds it
-- key stats    HASH    counters
-- -> 1; 0 if this very answer was there
local held = redis.call('HMGET', k_request, 'to', 'answered')
if not held[1] then
  return redis.error_reply('LATE nobody waits for an answer to ' .. ARGV[5] .. ' any more')
end
if held[1] ~= ARGV[1] then
  return redis.error_reply('FORBIDDEN ' .. ARGV[5] .. ' was asked of ' .. held[1] .. ', not of ' .. ARGV[1])
end
if held[2] then
  if held[2] == ARGV[2] then
    return 0
  end
  return redis.error_reply('LATE ' .. ARGV[5] .. ' was answered already')
end
redis.call('XADD', k_reply, '*', 'h', ARGV[3], 'p', ARGV[4])
redis.call('PEXPIRE', k_reply, 60000)
redis.call('HSET', k_request, 'answered', ARGV[2])
redis.call('HINCRBY', k_stats, 'messages_answered', 1)
return 1
