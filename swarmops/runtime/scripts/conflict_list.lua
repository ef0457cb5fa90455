-- conflict_list: open votes, the one that ends first in front, then the decided, newest first. args: how many at most
-- key conflicts  HASH  id -> JSON (see conflict_lib.lua)
-- key order      ZSET  id -> ms; the last 1,000 decided
-- key open       ZSET  id -> ms of its deadline; at most 1,000
-- -> JSON of each
local ids, found = redis.call('ZRANGE', k_open, 0, ARGV[1] - 1), {}
for _, id in ipairs(redis.call('ZREVRANGE', k_order, 0, ARGV[1] - 1)) do
  ids[#ids + 1] = id
end
for i = 1, math.min(#ids, tonumber(ARGV[1])) do
  found[i] = redis.call('HGET', k_conflicts, ids[i])
end
return found
