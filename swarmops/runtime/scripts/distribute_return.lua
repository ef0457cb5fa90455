-- distribute_return: what swarms have open goes back to the backlog. args: token (0: the swarm itself asks), why, ids of
-- swarms, or (for token 0) the swarm, then task and attempt of each
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
-- -> how many came back
local token, why = ARGV[1], ARGV[2]
if token ~= '0' then
  local stale = fence(k_leader, k_term, token)
  if stale then
    return stale
  end
end
redis.call('ZREM', k_pending, '')  -- a shrinking command first
local now, n = clock(), 0
if token == '0' then
  for i = 4, #ARGV, 2 do
    local it = place(ARGV[i])
    if it and it.swarm == ARGV[3] and it.attempt == tonumber(ARGV[i + 1]) and back(ARGV[i], ARGV[3], why, now) then
      n = n + 1
    end
  end
  load_of(ARGV[3])
else
  for i = 3, #ARGV do
    for _, id in ipairs(redis.call('ZRANGE', root .. 'assigned:' .. ARGV[i], 0, 999)) do
      back(id, ARGV[i], why, now)
      n = n + 1
    end
    load_of(ARGV[i])
  end
end
if n > 0 then
  nudge()
end
return n
