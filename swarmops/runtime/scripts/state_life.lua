-- lib: whose state it is: of a live swarm ('live'), of one that has ended ('dead'), or of no swarm ('free').
local function life(swarm, name)
  local status = redis.call('HGET', swarm, 'status')
  if status then return (status == 'completed' or status == 'failed') and 'dead' or 'live' end
  return redis.call('ZSCORE', k_archived, name) and 'dead' or 'free'
end
