-- lib
-- One cycle of distribution; after `-- include distribute_lib`.

local function able(swarm, task)
  for _, want in ipairs(task.capabilities or {}) do
    if not swarm.caps[want] then
      return false
    end
  end
  return true
end

-- Which of two does better, by strategy. Ties go to the less loaded, then to the smaller id.
local function better(strategy, task, a, b)
  if strategy == 'priority' then
    local mine, yours = a.priority == task.priority, b.priority == task.priority
    if mine ~= yours then
      return mine
    end
  elseif strategy == 'capability' and a.skills ~= b.skills then
    return a.skills < b.skills  -- who can little else: the others stay free for what only they can do
  end
  if a.load ~= b.load then
    return a.load < b.load
  end
  return a.id < b.id
end

-- Around the circle of ids: the first after the cursor, which is the name of a swarm and not a number, so that swarms
-- that come and go do not disturb the order.
local function choose(strategy, task, swarms, cursor)
  local best, first
  for _, one in ipairs(swarms) do  -- by id
    if able(one, task) then
      if strategy == 'round_robin' then
        first = first or one
        if one.id > cursor then
          return one
        end
      elseif not best or better(strategy, task, one, best) then
        best = one
      end
    end
  end
  return best or first
end

-- Active swarms with what is looked at when one is chosen. A swarm that can something new frees the stuck tasks.
local function takers(now)
  local swarms, sign = active(now), {}
  for _, one in ipairs(swarms) do
    local caps = type(one.d.metadata) == 'table' and one.d.metadata.capabilities or {}
    one.priority = type(one.d.metadata) == 'table' and one.d.metadata.priority or 'normal'
    one.caps, one.skills = {}, #caps
    for _, cap in ipairs(caps) do
      one.caps[cap] = true
    end
    one.load = redis.call('ZCARD', root .. 'assigned:' .. one.id)
    sign[#sign + 1] = one.id .. ' ' .. table.concat(caps, ',')
  end
  local seen = redis.sha1hex(table.concat(sign, ';'))
  if redis.call('HGET', k_dist, 'able') ~= seen then
    redis.call('HSET', k_dist, 'able', seen)
    if redis.call('ZCARD', k_stuck) > 0 then
      redis.call('ZUNIONSTORE', k_pending, 2, k_pending, k_stuck, 'AGGREGATE', 'MIN')
      redis.call('DEL', k_stuck)
    end
  end
  return swarms
end

-- Up to `most` tasks to active swarms; at most 200 are looked at. -> {id, swarm, attempt} each, ids that nobody can do
local function cycle(now, most, swarms)
  local strategy = redis.call('HGET', k_dist, 'strategy') or 'least_loaded'
  local cursor, moved = redis.call('HGET', k_dist, 'cursor') or '', false
  local given, stuck = {}, {}
  if #swarms == 0 then
    return given, stuck
  end
  local look = redis.call('ZRANGE', k_pending, 0, 199)
  for _, id in ipairs(look) do
    if #given >= most then
      break
    end
    local task, it = cjson.decode(redis.call('HGET', k_body, id)), place(id)
    local one = choose(strategy, task, swarms, cursor)
    redis.call('ZREM', k_pending, id)
    if one then
      it.status, it.attempt, it.swarm = 'assigned', it.attempt + 1, one.id
      put(id, it, now)
      redis.call('ZADD', root .. 'assigned:' .. one.id, it.score, id)
      redis.call('SADD', k_busy, one.id)
      one.load = load_of(one.id)
      cursor, moved = one.id, true
      tell(one.id, 'task_assignment', {task_id = id, type = task.type, attempt = it.attempt})
      note('task.distributed', id, 'swarm', one.id, 'attempt', it.attempt, 'strategy', strategy)
      count('tasks_distributed')
      given[#given + 1] = {id, one.id, it.attempt}
    else
      it.status = 'stuck'
      put(id, it, now)
      redis.call('ZADD', k_stuck, it.score, id)
      note('task.stuck', id, 'needs', table.concat(task.capabilities, ','))
      stuck[#stuck + 1] = id
    end
  end
  if moved then
    redis.call('HSET', k_dist, 'cursor', cursor)
  end
  return given, stuck
end
