-- recover_done: ends a recovery: the swarm is active again ('active'), or interrupted as before ('interrupted').
-- Refused when it is no longer the caller's, or its time is over. The state is written only if nobody wrote it since.
-- key swarm         HASH    status, beat
-- key recovering    SET     recovering swarms
-- key after         SET     swarms of the new status
-- key beats         ZSET    swarm -> last beat ms
-- key recovery      HASH    token, until ms; strategy, source, confidence, plan, error; broken (data that was no state)
-- key state         HASH    v, d, sum, at, by, from
-- key states        ZSET    name -> at ms
-- key term          STRING  the newest fencing token
-- key leader        STRING  JSON id, term
-- key events        STREAM  about 10000
-- key stats         HASH    counters
-- include registry
local id, token, term, status, strategy = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local source, confidence, plan, why = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local expected, data, sum, from = ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local stale = term ~= '' and fence(k_leader, k_term, term)
if stale then return stale end
local now = clock()
local r = redis.call('HMGET', k_recovery, 'token', 'until', 'done')
if r[3] == token then return 1 end
if r[1] ~= token then return redis.error_reply('CONFLICT the recovery of ' .. id .. ' was taken over') end
if redis.call('HGET', k_swarm, 'status') ~= 'recovering' then
  return redis.error_reply('CONFLICT swarm ' .. id .. ' is no longer recovering')
end
if status == 'active' and now > tonumber(r[2]) then
  return redis.error_reply('LATE the recovery of ' .. id .. ' took longer than it may')
end
local old = redis.pcall('HMGET', k_state, 'v', 'd')
local alien = old.err ~= nil  -- somebody put another type of value there
if alien then old = {} end
redis.call('SMOVE', k_recovering, k_after, id)
redis.call('HSET', k_swarm, 'status', status)
note('swarm.status', id, 'from', 'recovering', 'to', status)
redis.call('HSET', k_recovery, 'done', token, 'strategy', strategy, 'source', source, 'confidence', confidence,
  'plan', plan, 'error', why, 'at', now)
if status ~= 'active' then
  count('errors')
  note('recovery.failed', id, 'why', why)
  return 1
end
redis.call('HSET', k_recovery, 'attempts', 0)
redis.call('HSET', k_swarm, 'beat', now)
redis.call('ZADD', k_beats, now, id)
if sum ~= '' and (old[1] or '') == expected then
  if alien then redis.call('DEL', k_state) end
  if old[2] then redis.call('HSET', k_recovery, 'broken', old[2]) end
  redis.call('HSET', k_state, 'v', (tonumber(old[1]) or 0) + 1, 'd', data, 'sum', sum, 'at', now, 'by', 'recovery',
    'from', from)
  redis.call('ZADD', k_states, now, id)
end
count('recoveries_performed')
note('recovery.done', id, 'strategy', strategy, 'source', source, 'confidence', confidence)
return 1
