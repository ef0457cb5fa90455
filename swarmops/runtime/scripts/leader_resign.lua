-- leader_resign: give leadership up, if it is the caller's. args: id, term
-- key leader  STRING  who leads
-- key term    STRING  the newest fencing token: stays
-- key events  STREAM  about 10000
-- include registry
-- -> 1, also if the lease had ended by itself
local held = redis.call('GET', k_leader)
local newest = redis.call('GET', k_term) or '0'
if newest ~= ARGV[2] then
  return redis.error_reply('STALE you lead term ' .. ARGV[2] .. ', the term is ' .. newest)
end
if held then
  local it = cjson.decode(held)
  if it.id ~= ARGV[1] then
    return redis.error_reply('FORBIDDEN ' .. it.id .. ' leads, not ' .. ARGV[1])
  end
  redis.call('DEL', k_leader)
  note('leader.resigned', it.id, 'term', newest)
end
return 1
