-- snapshot_read: description and data of the one with this id, else the newest with this label ('': the newest of all),
-- and the version of the state now.
-- key state  HASH  v
-- key order  ZSET  id -> number, at most 20
-- key kept   HASH  <id>.m description, <id>.d data
local which = ARGV[1]
local id = redis.call('ZSCORE', k_order, which) and which
if not id then
  for _, one in ipairs(redis.call('ZREVRANGE', k_order, 0, -1)) do
    local fine, mark = pcall(cjson.decode, redis.call('HGET', k_kept, one .. '.m') or '')
    if which == '' or (fine and mark.label == which) then
      id = one
      break
    end
  end
end
if not id then return {} end
local kept = redis.call('HMGET', k_kept, id .. '.m', id .. '.d')
return { kept[1] or '', kept[2] or '', redis.call('HGET', k_state, 'v') or '' }
