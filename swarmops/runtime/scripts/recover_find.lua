-- recover_find: swarms that need a recovery: interrupted ones, and those whose recoverer did not end in time.
-- Each: id, status, reason, attempts, strategy, at ms.
-- key interrupted  SET  interrupted swarms
-- key recovering   SET  recovering swarms
-- family swarm     HASH  swarm:<id>
-- family recovery  HASH  recovery:<id>
-- include registry
local root, now, found = string.match(k_recovering, '^(.*)swarm_status:'), clock(), {}
for _, set in ipairs({ k_interrupted, k_recovering }) do
  for _, id in ipairs(redis.call('SMEMBERS', set)) do
    local s = redis.call('HMGET', root .. 'swarm:' .. id, 'status', 'reason')
    local r = redis.call('HMGET', root .. 'recovery:' .. id, 'until', 'attempts', 'strategy', 'at', 'reason')
    if s[1] and (set == k_interrupted or (tonumber(r[1]) or 0) < now) then
      found[#found + 1] = { id, s[1], s[2] or r[5] or '', r[2] or '0', r[3] or '', r[4] or '0' }
    end
  end
end
table.sort(found, function(a, b) return a[1] < b[1] end)
return found
