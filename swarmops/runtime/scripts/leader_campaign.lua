-- leader_campaign: become leader if nobody is, renew if the caller is. args: id, nonce, lease ms
-- key leader  STRING  {"id","nonce","term","since"}, gone when the lease ends
-- key term    STRING  the newest fencing token; never expires, never falls
-- key events  STREAM  about 10000
-- key stats   HASH    counters
-- include registry
-- -> leading (1, 0), holder, term, since, ms left, now
local id, nonce, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now = clock()
local held = redis.call('GET', k_leader)
if held then
  local it = cjson.decode(held)
  local mine = it.id == id and it.nonce == nonce
  if mine then
    redis.call('PEXPIRE', k_leader, lease)
  end
  return {mine and 1 or 0, it.id, it.term, it.since, redis.call('PTTL', k_leader), now}
end
-- Not just one more than the last: if Redis lost its last second in a power cut, or a replica took over that had not
-- heard of the last term, the clock still keeps a token from being given twice.
local term = text(math.max(tonumber(redis.call('GET', k_term) or 0) + 1, now))
redis.call('DEL', k_leader)  -- a shrinking command first: leadership goes on while Redis is full
redis.call('SET', k_term, term)
redis.call('SET', k_leader, '{"id":"' .. id .. '","nonce":"' .. nonce .. '","term":' .. term .. ',"since":' ..
  text(now) .. '}', 'PX', lease)
note('leader.elected', id, 'term', term)
count('leaders_elected')
return {1, id, tonumber(term), now, lease, now}
