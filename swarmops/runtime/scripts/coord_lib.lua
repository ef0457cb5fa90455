-- lib
-- What the coordinator's scripts share; after `-- include registry`. All keys lie beside k_swarms, in {reg}.
-- Wants `-- key swarms`, `-- key inboxes`, `-- key events`, `-- key stats`.
-- family swarm         HASH    {reg}:swarm:<id>: status, beat, dead, load
-- family swarm_status  SET     {reg}:swarm_status:<status>: ids
-- family inbox         STREAM  {reg}:inbox:swarm.<id>
local root = k_swarms:sub(1, -7)

-- A line for the inbox of a swarm, in the form of message_send.lua. What it tells lies in Redis anyway, so that a swarm
-- that does not read gets no more once 500 wait for it: senders of its own must find room.
local function tell(swarm, kind, payload)
  local inbox, address = root .. 'inbox:swarm.' .. swarm, 'swarm.' .. swarm
  local length = redis.call('XLEN', inbox)
  if length >= 500 or redis.call('EXISTS', root .. 'swarm:' .. swarm) == 0 then
    return false
  end
  local id = 'coord-' .. text(clock()) .. '-' .. redis.call('HINCRBY', k_stats, 'coordinator_messages', 1)
  redis.call('XADD', inbox, '*', 'h', cjson.encode({id = id, type = kind, from = 'coordinator', to = address, v = 1}),
    'p', cjson.encode(payload))
  if length == 0 then
    redis.pcall('XGROUP', 'CREATE', inbox, 'in', '0')
  end
  redis.call('PEXPIRE', inbox, 604800000)
  redis.call('ZADD', k_inboxes, clock(), address)
  return true
end

local KEEPS = {initializing = true, active = true, recovering = true}

-- Does this swarm keep what it was given? Not once it is interrupted, ended, gone, or has not beaten in time.
local function keeps(swarm, now)
  local it = redis.call('HMGET', root .. 'swarm:' .. swarm, 'status', 'beat', 'dead')
  return KEEPS[it[1] or ''] and (tonumber(it[2]) or 0) + (tonumber(it[3]) or 0) > now or false
end

-- Swarms that may get work, by id: {id, d (decoded)}. One whose record cannot be read stops nobody else.
local function active(now)
  local found = {}
  local ids = redis.call('SMEMBERS', root .. 'swarm_status:active')
  table.sort(ids)
  for _, id in ipairs(ids) do
    if keeps(id, now) then
      local good, d = pcall(cjson.decode, redis.call('HGET', root .. 'swarm:' .. id, 'd'))
      if good and type(d) == 'table' then
        found[#found + 1] = {id = id, d = d}
      end
    end
  end
  return found
end
