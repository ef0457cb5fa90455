-- distribute_submit: a task into the backlog; if the leader itself submits, it distributes at once.
-- args: rank, token (0: not the leader), id, body
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
-- -> new (1, 0), leader or '', status, swarm, attempt
local rank, token, id, body = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
if token ~= '0' then
  local why = fence(k_leader, k_term, token)
  if why then
    return why
  end
end
local new = 0
local it = place(id)
if not it and not redis.call('ZSCORE', k_ended, id) then
  if redis.call('HLEN', k_body) >= 100000 then
    return redis.error_reply('FULL 100,000 tasks wait to be distributed or are with swarms')
  end
  redis.call('HSET', k_body, id, body)
  new, it = 1, {status = 'pending', attempt = 0, swarm = '-'}
  it.score = rank * 1099511627776 + redis.call('HINCRBY', k_dist, 'number', 1)
  put(id, it, clock())
  redis.call('ZADD', k_pending, it.score, id)
  count('distribution_submitted')
end
if it and it.status == 'pending' then
  if token ~= '0' then
    cycle(clock(), 10, takers(clock()))
    it = place(id)
  end
  nudge()
end
local held = redis.call('GET', k_leader)
local leader = held and cjson.decode(held).id or ''
it = it or {status = 'ended', swarm = '-', attempt = 0}
return {new, leader, it.status, it.swarm, it.attempt}
