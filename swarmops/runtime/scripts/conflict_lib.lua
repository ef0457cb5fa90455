-- lib
-- Decisions between two swarms; after `-- include registry` and `-- include coord_lib`.
-- A conflict is JSON in k_conflicts: id, kind, a, b, strategy, status (open, decided), at, winner, loser, reason; a vote
-- besides: electorate (a table id -> 1 would lose its order: a list), quorum, deadline.
local RANK = {high = 3, normal = 2, low = 1}

-- What the rules look at: priority (unknown is normal), when it was created (nil if unknown).
local function facts(swarm)
  local it = redis.call('HMGET', root .. 'swarm:' .. swarm, 'd', 'created')
  local good, d = pcall(cjson.decode, it[1])
  local meta = good and type(d) == 'table' and d.metadata
  local word = type(meta) == 'table' and meta.priority or 'normal'
  return {id = swarm, there = it[1] and true or false, word = RANK[word] and word or 'normal', created = tonumber(it[2])}
end

-- The earlier one; one whose time is not known came later; then the smaller id. -> winner, reason
local function by_time(a, b)
  if a.created ~= b.created then
    if not a.created or not b.created then
      local known = a.created and a or b
      return known.id, known.id .. ' is the one whose time of creation is known'
    end
    local first = a.created < b.created and a or b
    return first.id, first.id .. ' was created ' .. text(math.abs(a.created - b.created)) .. ' ms earlier'
  end
  local first = a.id < b.id and a or b
  return first.id, 'created at the same time: ' .. first.id .. ' has the smaller id'
end

local function by_priority(a, b)
  if a.word ~= b.word then
    local more = RANK[a.word] > RANK[b.word] and a or b
    return more.id, 'priority ' .. more.word .. ' over ' .. (more == a and b or a).word
  end
  local winner, reason = by_time(a, b)
  return winner, 'both have priority ' .. a.word .. '; ' .. reason
end

local function decide(it, winner, reason, now)
  redis.call('ZREM', k_open, it.id)
  redis.call('DEL', root .. 'conflict_vote:' .. it.id)
  it.status, it.winner, it.reason, it.decided = 'decided', winner, reason, now
  it.loser = winner == it.a and it.b or it.a
  it.electorate = nil
  redis.call('HSET', k_conflicts, it.id, cjson.encode(it))
  redis.call('ZADD', k_order, now, it.id)
  for _, old in ipairs(redis.call('ZRANGE', k_order, 0, -1001)) do
    redis.call('ZREM', k_order, old)
    redis.call('HDEL', k_conflicts, old)
  end
  note('conflict.resolved', it.id, 'winner', winner, 'strategy', it.strategy, 'reason', reason)
  count('conflicts_resolved')
  for _, swarm in ipairs({it.a, it.b}) do
    tell(swarm, 'conflict.resolved', {conflict_id = it.id, kind = it.kind, winner = winner, loser = it.loser,
      strategy = it.strategy, reason = reason})
  end
end

-- Decide a vote if it can be: when one side cannot be overtaken any more and the quorum has voted, when all have
-- voted, or when the deadline has passed. A tie, and a vote without quorum, is decided by priority.
local function settle(it, now)
  local votes, n = {[it.a] = 0, [it.b] = 0}, 0
  local cast = redis.call('HGETALL', root .. 'conflict_vote:' .. it.id)
  for i = 2, #cast, 2 do
    votes[cast[i]] = votes[cast[i]] + 1
    n = n + 1
  end
  it.votes_a, it.votes_b = votes[it.a], votes[it.b]
  local left = #it.electorate - n
  local sure = n >= it.quorum and math.abs(it.votes_a - it.votes_b) > left
  if not sure and left > 0 and now < it.deadline then
    return false
  end
  local tally = it.votes_a .. ' to ' .. it.votes_b
  if n >= it.quorum and it.votes_a ~= it.votes_b then
    decide(it, it.votes_a > it.votes_b and it.a or it.b, tally .. ' votes', now)
    return true
  end
  local winner, reason = by_priority(facts(it.a), facts(it.b))
  local why = n < it.quorum and 'no quorum: ' .. n .. ' of ' .. it.quorum .. ' votes came in time' or 'a tie, ' .. tally
  decide(it, winner, why .. '; ' .. reason, now)
  return true
end
