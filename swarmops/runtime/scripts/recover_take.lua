-- recover_take: takes an interrupted swarm for recovery, for one recoverer and for a time (S3-47). One that another took
-- can be taken when that one's time is over, or when it led an earlier term.
-- Answers taken (0: escalated to people, after ARGV most attempts), attempts, reason, ms now.
-- key swarms    ZSET    id -> ms when created
-- key due       ZSET    id -> ms when it is interrupted (the live) or archived (the others)
-- key ended     ZSET    id -> ms when completed or failed; at most 1000
-- key archive   HASH    id -> JSON; 7 days, at most 10000
-- key archived  ZSET    id -> ms when archived
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- key term      STRING  the newest fencing token
-- key leader    STRING  who leads
-- key recovery  HASH    token, by, term, until ms, attempts, reason, strategy; for 7 days
-- family swarm         HASH  {reg}:swarm:<id>
-- family swarm_status  SET   {reg}:swarm_status:<status>: ids
-- include registry
-- include swarm_index
local id, token, by, term, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local lease, most, force = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local stale = term ~= '' and fence(k_leader, k_term, term)
if stale then return stale end
local now = clock()
sweep(now, 1000)
local s = redis.call('HMGET', base .. 'swarm:' .. id, 'status', 'why')
local r = redis.call('HMGET', k_recovery, 'token', 'by', 'term', 'until', 'attempts', 'reason', 'strategy')
if not s[1] then return redis.error_reply('NOTFOUND there is no swarm ' .. id) end
if reason == '' then reason = (s[1] == 'recovering' and r[6]) or s[2] or '' end
local attempts = tonumber(r[5]) or 0
if s[1] == 'recovering' then
  if r[1] == token then return { 1, attempts, reason, now } end
  local left = (tonumber(r[4]) or 0) - now
  local deposed = term ~= '' and r[3] and r[3] ~= '' and tonumber(r[3]) < tonumber(term)
  if left > 0 and not deposed then
    return redis.error_reply('CONFLICT swarm ' .. id .. ' is being recovered by ' .. (r[2] or '?') .. ' for another '
      .. left .. ' ms')
  end
elseif s[1] ~= 'interrupted' then
  return redis.error_reply('ILLEGAL swarm ' .. id .. ' is ' .. s[1] .. ', not interrupted')
end
if attempts >= most and not force then
  if r[7] ~= 'escalate' then
    redis.call('HSET', k_recovery, 'strategy', 'escalate', 'at', now, 'reason', reason)
    note('recovery.escalated', id, 'attempts', attempts, 'reason', reason)
  end
  if s[1] == 'recovering' then
    move(id, 'recovering', 'interrupted', reason, now)
  end
  return { 0, attempts, reason, now }
end
move(id, s[1], 'recovering', 'recovered by ' .. (by == '' and '?' or by), now)
redis.call('ZADD', k_due, 'GT', now + lease, id)  -- not interrupted again in the midst of it
attempts = redis.call('HINCRBY', k_recovery, 'attempts', 1)
redis.call('HSET', k_recovery, 'token', token, 'by', by, 'term', term, 'until', now + lease, 'reason', reason, 'at', now)
redis.call('HDEL', k_recovery, 'strategy')
redis.call('PEXPIRE', k_recovery, 604800000)
note('recovery.begun', id, 'by', by, 'attempt', attempts, 'reason', reason)
return { 1, attempts, reason, now }
