-- conflict_vote: one swarm votes, once. args: id, swarm, choice
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
-- -> the conflict as JSON, decided perhaps; refused when too late, twice, or by whom it does not concern
local id, swarm, choice = unpack(ARGV)
local held = redis.call('HGET', k_conflicts, id)
if not held then
  return redis.error_reply('NOTFOUND there is no conflict ' .. id)
end
local it, now, may = cjson.decode(held), clock(), false
local votes = root .. 'conflict_vote:' .. id
if it.status == 'decided' or now >= it.deadline then
  return redis.error_reply('LATE the vote ' .. id .. ' has ended')
end
for _, one in ipairs(it.electorate) do
  may = may or one == swarm
end
if not may then
  return redis.error_reply('FORBIDDEN ' .. swarm .. ' has no vote in ' .. id)
end
if choice ~= it.a and choice ~= it.b then
  return redis.error_reply('ILLEGAL the choice is between ' .. it.a .. ' and ' .. it.b .. ', not ' .. choice)
end
local before = redis.call('HGET', votes, swarm)
if before and before ~= choice then
  return redis.error_reply('CONFLICT ' .. swarm .. ' has voted for ' .. before)
end
redis.call('HSET', votes, swarm, choice)
redis.call('PEXPIRE', votes, text(it.deadline - now + 86400000))
if not settle(it, now) then
  redis.call('HSET', k_conflicts, id, cjson.encode(it))
end
return redis.call('HGET', k_conflicts, id)
