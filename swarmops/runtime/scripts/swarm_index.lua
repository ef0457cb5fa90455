-- lib
-- The indexes of swarms. Wants `-- include registry` and the keys swarms, due, ended, archive, archived, events, stats.

local KEEP = 604800000  -- ms an archived swarm can be read (7 days)
local MOST_ARCHIVED, MOST_ENDED = 10000, 1000
local LEGAL = {
  initializing = {active = true, failed = true, interrupted = true},
  active = {completed = true, failed = true, interrupted = true},
  interrupted = {recovering = true, failed = true},
  recovering = {active = true, failed = true, interrupted = true},
  completed = {},
  failed = {},
}
local LIVE = {initializing = true, active = true, recovering = true}
local base = k_swarms:sub(1, -7)  -- without 'swarms'

-- It leaves every index, and is kept in the archive.
local function retire(id, why, now)
  local key = base .. 'swarm:' .. id
  local it = redis.call('HMGET', key, 'd', 'status', 'created', 'load')
  redis.call('DEL', key)
  redis.call('ZREM', k_swarms, id)
  redis.call('ZREM', k_due, id)
  redis.call('ZREM', k_ended, id)
  if not it[1] then
    return
  end
  redis.call('SREM', base .. 'swarm_status:' .. it[2], id)
  redis.call('HSET', k_archive, id, '{"id":"' .. id .. '","status":"' .. it[2] .. '","created_ms":' .. it[3] ..
    ',"archived_ms":' .. text(now) .. ',"load":' .. it[4] .. ',"reason":' .. cjson.encode(why) .. ',"d":' .. it[1] .. '}')
  redis.call('ZADD', k_archived, now, id)
  local old = redis.call('ZRANGEBYSCORE', k_archived, '-inf', now - KEEP, 'LIMIT', 0, 100)
  if #old == 0 and redis.call('ZCARD', k_archived) > MOST_ARCHIVED then
    old = redis.call('ZRANGE', k_archived, 0, 0)
  end
  for _, one in ipairs(old) do
    redis.call('ZREM', k_archived, one)
    redis.call('HDEL', k_archive, one)
  end
  note('swarm.archived', id, 'status', it[2], 'why', why)
  count('swarms_archived')
end

-- From one status to another: record, index and due time move together.
local function move(id, from, to, why, now)
  local key = base .. 'swarm:' .. id
  redis.call('SREM', base .. 'swarm_status:' .. from, id)
  redis.call('SADD', base .. 'swarm_status:' .. to, id)
  local dead, ttl = unpack(redis.call('HMGET', key, 'dead', 'ttl'))
  redis.call('HSET', key, 'status', to, 'why', why)
  if LIVE[to] then
    redis.call('HSET', key, 'beat', text(now))
    redis.call('ZADD', k_due, now + dead, id)
  else
    redis.call('ZADD', k_due, now + ttl, id)
  end
  if to == 'completed' or to == 'failed' then
    redis.call('ZADD', k_ended, now, id)
    if redis.call('ZCARD', k_ended) > MOST_ENDED then
      retire(redis.call('ZRANGE', k_ended, 0, 0)[1], 'many have ended since', now)
    end
  end
  note('swarm.status', id, 'from', from, 'to', to, 'why', why)
  count('swarms_' .. to)
end

-- What is due: the live that did not beat are interrupted, the others, after their time to live, archived.
local function sweep(now, most)
  local interrupted, expired = {}, {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', k_due, '-inf', now, 'LIMIT', 0, most)) do
    local status = redis.call('HGET', base .. 'swarm:' .. id, 'status')
    if LIVE[status] then
      move(id, status, 'interrupted', 'no beat in time', now)
      interrupted[#interrupted + 1] = id
    else
      retire(id, 'expired', now)
      expired[#expired + 1] = id
    end
  end
  return interrupted, expired
end

-- Its record as a reply: id, status, created, beat, load, why, d.
local function record(id)
  local it = redis.call('HMGET', base .. 'swarm:' .. id, 'status', 'created', 'beat', 'load', 'why', 'd')
  return {id, it[1], it[2], it[3], it[4], it[5], it[6]}
end
