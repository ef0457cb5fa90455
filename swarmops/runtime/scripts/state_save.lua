-- state_save: writes a state if its version is the expected one ('' for none yet); answers the new version.
-- Sent again with the same write id it answers the same, though others wrote since: or an `update` whose answer was
-- lost would count twice. Ids are known for 30 s, in two generations; a generation has at most 50000.
-- key state     HASH    v, d (JSON or zlib), sum (sha256 of d), at ms, by, from (snapshot)
-- key writes    HASH    write id -> version, t -> ms when this generation began; for 60 s
-- key written   HASH    the generation before
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
local done = redis.call('HGET', k_writes, write) or redis.call('HGET', k_written, write)
if done then return tonumber(done) end
local old = redis.call('HGET', k_state, 'v')
if (old or '') ~= expected then
  return redis.error_reply('CONFLICT state ' .. name .. ' has version ' .. (old or 'none') .. ', you expected '
    .. (expected == '' and 'none' or expected))
end
local now = clock()
local v = (tonumber(old) or 0) + 1
redis.call('HSET', k_state, 'v', v, 'd', data, 'sum', sum, 'at', now, 'by', by)
local begun = redis.call('HGET', k_writes, 't')
if begun and (now - begun > 30000 or redis.call('HLEN', k_writes) > 50000) then
  redis.call('RENAME', k_writes, k_written)
  begun = nil
end
redis.call('HSET', k_writes, write, v)
if not begun then
  redis.call('HSET', k_writes, 't', now)
  redis.call('PEXPIRE', k_writes, 60000)
end
if from ~= '' then redis.call('HSET', k_state, 'from', from) end
redis.call('ZADD', k_states, now, name)
redis.call('ZADD', k_due, 'NX', now + interval, name)
if ttl == '' and life(k_swarm, name) == 'dead' then ttl = dead_ttl end
if ttl == '' then redis.call('PERSIST', k_state) else redis.call('PEXPIRE', k_state, ttl) end
note(from == '' and 'state.saved' or 'state.restored', name, 'version', v, 'by', by, 'from', from)
count('state_saved')
return v
