-- swarm_list: swarms, newest first, as they are by now.
-- args: limit, offset, status or '', strategy or '', mode or '', phase or '', part of the objective in lower case or ''
-- key swarms    ZSET    id -> ms when created
-- key due       ZSET    id -> ms when it is interrupted (the live) or archived (the others)
-- key ended     ZSET    id -> ms when completed or failed; at most 1000, which count for no limit
-- key archive   HASH    id -> JSON; 7 days, at most 10000
-- key archived  ZSET    id -> ms when archived
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- family swarm         HASH  {reg}:swarm:<id>: d (JSON), status, created, beat, load, why, dead, ttl, nonce
-- family swarm_status  SET   {reg}:swarm_status:<status>: ids
-- include registry
-- include swarm_index
-- -> records: id, status, created, beat, load, why, d
local limit, offset, status = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local want = {strategy = ARGV[4], mode = ARGV[5], phase = ARGV[6], objective = ARGV[7]}
sweep(clock(), 1000)
local ids
if status == '' then
  ids = redis.call('ZREVRANGE', k_swarms, 0, -1)
else
  local up = redis.call('ZINTER', 2, k_swarms, base .. 'swarm_status:' .. status, 'WEIGHTS', 1, 0)
  ids = {}
  for i = #up, 1, -1 do
    ids[#ids + 1] = up[i]
  end
end
local picky = ARGV[4] .. ARGV[5] .. ARGV[6] .. ARGV[7] ~= ''
local function fits(d)
  local it = cjson.decode(d)
  return (want.strategy == '' or it.strategy == want.strategy) and (want.mode == '' or it.mode == want.mode) and
    (want.phase == '' or it.metadata.phase == want.phase) and
    (want.objective == '' or string.find(string.lower(it.objective), want.objective, 1, true) ~= nil)
end
local found, passed = {}, 0
for _, id in ipairs(ids) do
  if #found >= limit then
    break
  end
  if not picky or fits(redis.call('HGET', base .. 'swarm:' .. id, 'd')) then
    passed = passed + 1
    if passed > offset then
      found[#found + 1] = record(id)
    end
  end
end
return found
