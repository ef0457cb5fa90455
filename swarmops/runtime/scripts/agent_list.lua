-- agent_list: all agents, or those with all these capabilities. args: capabilities
-- key agents  ZSET  id -> ms of its last beat
-- key roster  HASH  id -> line (see agent_index.lua)
-- key load    HASH  id -> open tasks; no field for none
-- family cap  SET   {reg}:cap:<capability>: ids
-- include registry
-- -> now, lines, then id and last beat by turns, then id and load by turns; each one text with newlines between: three
--    long replies are read faster than a thousand short ones
local now = clock()
if #ARGV == 0 then
  return {
    now,
    table.concat(redis.call('HVALS', k_roster), '\n'),
    table.concat(redis.call('ZRANGE', k_agents, 0, -1, 'WITHSCORES'), '\n'),
    table.concat(redis.call('HGETALL', k_load), '\n'),
  }
end
local sets = {}
for i, cap in ipairs(ARGV) do
  sets[i] = k_agents:sub(1, -7) .. 'cap:' .. cap
end
local ids = redis.call('SINTER', unpack(sets))
local lines, beats, loads = {}, {}, {}
for from = 1, #ids, 1000 do
  local some = {unpack(ids, from, math.min(from + 999, #ids))}
  local line, beat = redis.call('HMGET', k_roster, unpack(some)), redis.call('ZMSCORE', k_agents, unpack(some))
  for i, open in ipairs(redis.call('HMGET', k_load, unpack(some))) do
    lines[#lines + 1] = line[i]
    beats[#beats + 1] = some[i] .. '\n' .. beat[i]
    loads[#loads + 1] = open and some[i] .. '\n' .. open or nil
  end
end
return {now, table.concat(lines, '\n'), table.concat(beats, '\n'), table.concat(loads, '\n')}
