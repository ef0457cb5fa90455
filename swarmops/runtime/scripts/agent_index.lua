-- lib
-- The indexes of agents. A roster line is `<status> <suspect ms> <dead ms> <registered ms> <parent> <capabilities> <id>
-- <JSON of the rest>`, with - for no parent and no capabilities. Wants `-- include registry` and the keys agents, due,
-- roster, load, events, stats.

local base = k_agents:sub(1, -7)  -- without 'agents'

-- An agent leaves every index, and its children with it. Begins with a shrinking command. Returns the ids.
local function forget(id, what, why)
  local todo, gone = {id}, {}
  while #todo > 0 do
    local one = table.remove(todo)
    local line = redis.call('HGET', k_roster, one)
    redis.call('ZREM', k_due, one)
    redis.call('ZREM', k_agents, one)
    redis.call('HDEL', k_load, one)
    if line then
      redis.call('HDEL', k_roster, one)
      redis.call('DEL', base .. 'agent:' .. one)
      local parent, caps = line:match('^%S+ %S+ %S+ %S+ (%S+) (%S+) ')
      for cap in caps:gmatch('[^,-][^,]*') do
        redis.call('SREM', base .. 'cap:' .. cap, one)
      end
      if parent ~= '-' then
        redis.call('SREM', base .. 'children:' .. parent, one)
      end
      for _, child in ipairs(redis.call('SMEMBERS', base .. 'children:' .. one)) do
        todo[#todo + 1] = child
      end
      redis.call('DEL', base .. 'children:' .. one)
      note(what, one, 'why', one == id and why or 'its parent ' .. parent .. ' is gone')
      gone[#gone + 1] = one
    end
  end
  return gone
end

-- The dead, `most` of them and their children, are forgotten. Returns the ids.
local function sweep(now, most)
  local gone = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', k_due, '-inf', now, 'LIMIT', 0, most)) do
    for _, one in ipairs(forget(id, 'agent.dead', 'no beat in time')) do
      gone[#gone + 1] = one
    end
  end
  if #gone > 0 then
    count('agents_dead', #gone)
  end
  return gone
end
