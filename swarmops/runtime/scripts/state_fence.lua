-- lib: leader-only writes. A token of '' is not fenced.
local function fenced(token)
  if token == '' then return nil end
  local term = redis.call('GET', k_term) or '0'
  if token ~= term then
    return redis.error_reply('STALE you lead term ' .. token .. ', the term is ' .. term)
  end
  local found, leader = pcall(cjson.decode, redis.call('GET', k_leader) or '')
  if not found or tostring(leader.term) ~= token then
    return redis.error_reply('STALE your lease of term ' .. token .. ' has ended')
  end
end
