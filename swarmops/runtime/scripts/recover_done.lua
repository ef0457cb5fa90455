-- recover_done: ends a recovery: the swarm is active again ('active'), or interrupted as before ('interrupted').
-- Refused when it is no longer the caller's, or its time is over. The state is written only if nobody wrote it since.
-- key swarms    ZSET    id -> ms when created
-- key due       ZSET    id -> ms when it is interrupted (the live) or archived (the others)
-- key ended     ZSET    id -> ms when completed or failed; at most 1000
-- key archive   HASH    id -> JSON; 7 days, at most 10000
-- key archived  ZSET    id -> ms when archived
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- key term      STRING  the newest fencing token
-- key leader    STRING  who leads
-- key recovery  HASH    token, until ms; strategy, source, confidence, plan, error; broken (data that was no state)
-- key state     HASH    v, d, sum, at, by, from
-- key states    ZSET    name -> at ms
-- family swarm         HASH  {reg}:swarm:<id>
-- family swarm_status  SET   {reg}:swarm_status:<status>: ids
-- include registry
-- include swarm_index
local id, token, term, status, strategy = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local source, confidence, plan, why = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local expected, data, sum, from = ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local stale = term ~= '' and fence(k_leader, k_term, term)
if stale then return stale end
local now = clock()
local r = redis.call('HMGET', k_recovery, 'token', 'until', 'done', 'reason')
if r[3] == token then return 1 end
if r[1] ~= token then return redis.error_reply('CONFLICT the recovery of ' .. id .. ' was taken over') end
if redis.call('HGET', base .. 'swarm:' .. id, 'status') ~= 'recovering' then
  return redis.error_reply('CONFLICT swarm ' .. id .. ' is no longer recovering')
end
if status == 'active' and now > tonumber(r[2]) then
  return redis.error_reply('LATE the recovery of ' .. id .. ' took longer than it may')
end
local old = redis.pcall('HMGET', k_state, 'v', 'd')
local alien = old.err ~= nil  -- somebody put another type of value there
if alien then old = {} end
move(id, 'recovering', status, status == 'active' and 'recovered' or r[4] or why, now)
redis.call('HSET', k_recovery, 'done', token, 'strategy', strategy, 'source', source, 'confidence', confidence,
  'plan', plan, 'error', why, 'at', now)
if status ~= 'active' then
  count('errors')
  note('recovery.failed', id, 'why', why)
  return 1
end
redis.call('HSET', k_recovery, 'attempts', 0)
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
