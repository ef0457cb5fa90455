-- conflict_resolve: decide between two swarms, or open a vote. args: id, kind, a, b, strategy, and for a vote: ms until
-- the deadline, quorum (0: more than half), electorate (none: the active swarms)
-- key conflicts  HASH    id -> JSON (see conflict_lib.lua); 1,000 decided and 1,000 open
-- key order      ZSET    id -> ms; the last 1,000 decided
-- key open       ZSET    id -> ms of its deadline; at most 1,000
-- key swarms     ZSET    id -> ms when created
-- key inboxes    ZSET    address -> last use, ms
-- key leader     STRING  who leads
-- key term       STRING  the newest fencing token
-- key events     STREAM  about 10000
-- key stats      HASH    counters
-- family swarm          HASH    {reg}:swarm:<id>
-- family conflict_vote  HASH    {reg}:conflict_vote:<id>: swarm -> its choice; a day at most
-- family inbox          STREAM  {reg}:inbox:swarm.<id>
-- include registry
-- include coord_lib
-- include conflict_lib
-- -> the conflict as JSON; the same again for the same id
local id, kind, a, b, strategy = unpack(ARGV)
local there = redis.call('HGET', k_conflicts, id)
if there then
  local it = cjson.decode(there)
  if it.a ~= a or it.b ~= b or it.strategy ~= strategy then
    return redis.error_reply('EXISTS there is another conflict ' .. id .. ', between ' .. it.a .. ' and ' .. it.b)
  end
  return there
end
local one, two, now = facts(a), facts(b), clock()
if not one.there and not two.there then
  return redis.error_reply('NOTFOUND there is neither a swarm ' .. a .. ' nor ' .. b)
end
local it = {id = id, kind = kind, a = a, b = b, strategy = strategy, at = now, status = 'open', winner = '', loser = '',
  reason = ''}
if strategy ~= 'vote' then
  local rule = strategy == 'priority' and by_priority or by_time
  redis.call('HSET', k_conflicts, id, cjson.encode(it))
  local winner, reason = rule(one, two)
  decide(it, winner, reason, now)
  return redis.call('HGET', k_conflicts, id)
end
it.electorate = {}
for i = 8, #ARGV do
  it.electorate[#it.electorate + 1] = ARGV[i]
end
if #ARGV == 7 then
  for _, swarm in ipairs(active(now)) do
    it.electorate[#it.electorate + 1] = swarm.id
  end
end
if #it.electorate == 0 then
  return redis.error_reply('ILLEGAL no swarm is active, so nobody can vote')
end
it.quorum = tonumber(ARGV[7]) > 0 and tonumber(ARGV[7]) or math.floor(#it.electorate / 2) + 1
if it.quorum > #it.electorate then
  return redis.error_reply('ILLEGAL a quorum of ' .. it.quorum .. ' of ' .. #it.electorate .. ' swarms cannot be reached')
end
if redis.call('ZCARD', k_open) >= 1000 then
  return redis.error_reply('FULL 1,000 votes are open')
end
it.deadline, it.votes_a, it.votes_b = now + tonumber(ARGV[6]), 0, 0
redis.call('HSET', k_conflicts, id, cjson.encode(it))
redis.call('ZADD', k_open, it.deadline, id)
note('conflict.opened', id, 'a', a, 'b', b, 'quorum', it.quorum)
for _, swarm in ipairs(it.electorate) do
  tell(swarm, 'conflict_vote_request', {conflict_id = id, options = {a, b}, deadline = it.deadline})
end
return redis.call('HGET', k_conflicts, id)
