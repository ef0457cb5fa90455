-- state_save: writes a state if its version is the expected one ('' for none yet); answers the new version.
-- Sent again with the same write id it answers the same, even when others wrote after it (the last 8 are known).
-- key state     HASH    v, d (JSON or zlib), sum (sha256 of d), at ms, by, from (snapshot), w (last 8 writes, id=version)
-- key states    ZSET    name -> at ms; as many as there are states
-- key due       ZSET    name -> ms of the next automatic snapshot; as many as there are states
-- key swarm     HASH    the swarm of that name, if there is one
-- key archived  ZSET    deregistered swarms -> when
-- key term      STRING  the newest fencing token
-- key leader    STRING  JSON id, term
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- include registry
-- include state_life
local name, expected, write, data, sum = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local by, ttl, dead_ttl, interval, token, from = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local stale = token ~= '' and fence(k_leader, k_term, token)
if stale then return stale end
local old = redis.call('HMGET', k_state, 'v', 'w')
local done = string.match(',' .. (old[2] or ''), ',' .. write .. '=(%d+)')
if done then return tonumber(done) end
if (old[1] or '') ~= expected then
  return redis.error_reply('CONFLICT state ' .. name .. ' has version ' .. (old[1] or 'none') .. ', you expected '
    .. (expected == '' and 'none' or expected))
end
local now = clock()
local v = (tonumber(old[1]) or 0) + 1
local writes, kept = { write .. '=' .. v }, old[2] or ''
for w in string.gmatch(kept, '[^,]+') do
  if #writes < 8 then writes[#writes + 1] = w end
end
redis.call('HSET', k_state, 'v', v, 'd', data, 'sum', sum, 'at', now, 'by', by, 'w', table.concat(writes, ','))
if from ~= '' then redis.call('HSET', k_state, 'from', from) end
redis.call('ZADD', k_states, now, name)
redis.call('ZADD', k_due, 'NX', now + interval, name)
if ttl == '' and life(k_swarm, name) == 'dead' then ttl = dead_ttl end
if ttl == '' then redis.call('PERSIST', k_state) else redis.call('PEXPIRE', k_state, ttl) end
note(from == '' and 'state.saved' or 'state.restored', name, 'version', v, 'by', by, 'from', from)
count('state_saved')
return v
