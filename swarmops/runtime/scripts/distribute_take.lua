-- distribute_take: what a swarm has been given and does not have in hand. args: swarm, how many, ids in hand
-- key assigned  ZSET  id -> score; the best first
-- key at        HASH  id -> where it is (see distribute_lib.lua)
-- key body      HASH  id -> JSON
-- -> id, attempt, body of each
local want, held, found, from = tonumber(ARGV[2]), {}, {}, 0
for i = 3, #ARGV do
  held[ARGV[i]] = true
end
while #found < want do
  local ids = redis.call('ZRANGE', k_assigned, from, from + want - 1)
  for _, id in ipairs(ids) do
    if not held[id] and #found < want then
      local attempt = redis.call('HGET', k_at, id):match('^%S+ (%S+)')
      found[#found + 1] = {id, tonumber(attempt), redis.call('HGET', k_body, id)}
    end
  end
  if #ids < want then
    break
  end
  from = from + want
end
return found
