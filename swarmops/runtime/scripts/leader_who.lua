-- leader_who: who leads, if anybody
-- key leader  STRING  who leads
-- include registry
-- -> 0, holder, term, since, ms left, now; or nothing
local held = redis.call('GET', k_leader)
if not held then
  return false
end
local it = cjson.decode(held)
return {0, it.id, it.term, it.since, redis.call('PTTL', k_leader), clock()}
