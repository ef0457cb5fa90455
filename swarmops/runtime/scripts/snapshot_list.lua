-- snapshot_list: descriptions of snapshots or checkpoints, the newest first.
-- key order  ZSET  id -> number, at most 20
-- key kept   HASH  <id>.m description, <id>.d data
local found = {}
for _, id in ipairs(redis.call('ZREVRANGE', k_order, 0, -1)) do
  found[#found + 1] = { id, redis.call('HGET', k_kept, id .. '.m') or '' }
end
return found
