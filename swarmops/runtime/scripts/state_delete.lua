-- state_delete: forgets a state with its snapshots, checkpoints and recovery; answers 1, or 0 if there was nothing.
-- key state         HASH    the state
-- key states        ZSET    name -> at ms
-- key due           ZSET    name -> ms of the next automatic snapshot
-- key snapshots     ZSET    id -> number, at most 10
-- key snapshot      HASH    <id>.m description, <id>.d data
-- key checkpoints   ZSET    id -> number, at most 20
-- key checkpoint    HASH    <id>.m description, <id>.d data
-- key recovery      HASH    the last recovery
-- key term          STRING  the newest fencing token
-- key leader        STRING  JSON id, term
-- key events        STREAM  about 10000
-- include registry
local name, expected, token = ARGV[1], ARGV[2], ARGV[3]
local stale = token ~= '' and fence(k_leader, k_term, token)
if stale then return stale end
local v = redis.call('HGET', k_state, 'v')
if expected ~= '' and v and v ~= expected then
  return redis.error_reply('CONFLICT state ' .. name .. ' has version ' .. v .. ', you expected ' .. expected)
end
local gone = redis.call('DEL', k_state, k_snapshots, k_snapshot, k_checkpoints, k_checkpoint, k_recovery)
redis.call('ZREM', k_states, name)
redis.call('ZREM', k_due, name)
if gone == 0 then return 0 end
note('state.deleted', name, 'version', v or 'none')
return 1
