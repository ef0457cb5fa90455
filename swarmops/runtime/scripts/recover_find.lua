-- recover_find: swarms that need a recovery: interrupted ones, and those whose recoverer did not end in time.
-- Each: id, status, reason, attempts, strategy, at ms.
-- key swarms    ZSET    id -> ms when created
-- key due       ZSET    id -> ms when it is interrupted (the live) or archived (the others)
-- key ended     ZSET    id -> ms when completed or failed; at most 1000
-- key archive   HASH    id -> JSON; 7 days, at most 10000
-- key archived  ZSET    id -> ms when archived
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- family swarm         HASH  {reg}:swarm:<id>
-- family swarm_status  SET   {reg}:swarm_status:<status>: ids
-- family recovery      HASH  {reg}:recovery:<id>
-- include registry
-- include swarm_index
local now, found = clock(), {}
sweep(now, 1000)
for _, status in ipairs({ 'interrupted', 'recovering' }) do
  for _, id in ipairs(redis.call('SMEMBERS', base .. 'swarm_status:' .. status)) do
    local why = redis.call('HGET', base .. 'swarm:' .. id, 'why') or ''
    local r = redis.call('HMGET', base .. 'recovery:' .. id, 'until', 'attempts', 'strategy', 'at', 'reason')
    if status == 'interrupted' or (tonumber(r[1]) or 0) < now then
      found[#found + 1] = { id, status, status == 'recovering' and r[5] or why, r[2] or '0', r[3] or '', r[4] or '0' }
    end
  end
end
table.sort(found, function(a, b) return a[1] < b[1] end)
return found
