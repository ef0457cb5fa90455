-- distribute: the leader's cycle. What dead swarms held comes back, then the next tasks go to active swarms; as one
-- script, so that a leader that dies loses and doubles nothing. args: token, how many tasks at most
-- key pending  ZSET    id -> score; those that wait; at most 100,000 with the stuck
-- key stuck    ZSET    id -> score; those that no active swarm can do
-- key at       HASH    id -> where it is (see distribute_lib.lua)
-- key body     HASH    id -> JSON
-- key out      HASH    id -> JSON of how it ended; the last 10,000
-- key ended    ZSET    id -> ms
-- key dist     HASH    strategy, cursor, able, number
-- key busy     SET     swarms that have something open
-- key hint     LIST    one token when there is something to do; a minute
-- key swarms   ZSET    id -> ms when created
-- key inboxes  ZSET    address -> last use, ms
-- key leader   STRING  who leads
-- key term     STRING  the newest fencing token
-- key events   STREAM  about 10000
-- key stats    HASH    counters
-- family assigned  ZSET    {reg}:assigned:<swarm>: id -> score
-- family swarm     HASH    {reg}:swarm:<id>: load
-- family inbox     STREAM  {reg}:inbox:swarm.<id>
-- include registry
-- include coord_lib
-- include distribute_lib
-- include distribute_cycle
-- -> {id, swarm, attempt} each; ids that no active swarm can do; how many came back; how many wait still, active swarms
local why = fence(k_leader, k_term, ARGV[1])
if why then
  return why
end
redis.call('DEL', k_hint)  -- a shrinking command first: what dead swarms held comes back while Redis is full
local now = clock()
local n = back_from_the_dead(now, 1000)
local swarms = takers(now)
local given, stuck = cycle(now, tonumber(ARGV[2]), swarms)
return {given, stuck, n, redis.call('ZCARD', k_pending), #swarms}
