-- swarm_archive: archived swarms, newest first; not those older than 7 days, though they may not be swept yet.
-- args: limit, offset, or one id
-- key archive   HASH    id -> JSON; 7 days, at most 10000
-- key archived  ZSET    id -> ms when archived
-- include registry
-- -> JSON of each
local oldest = clock() - 604800000
local ids
if ARGV[2] then
  ids = redis.call('ZREVRANGEBYSCORE', k_archived, '+inf', '(' .. text(oldest), 'LIMIT', ARGV[2], ARGV[1])
else
  local at = tonumber(redis.call('ZSCORE', k_archived, ARGV[1]) or 0)
  if at <= oldest then
    return redis.error_reply('NOTFOUND no swarm ' .. ARGV[1] .. ' is archived')
  end
  ids = {ARGV[1]}
end
return #ids > 0 and redis.call('HMGET', k_archive, unpack(ids)) or {}
