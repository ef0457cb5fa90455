-- message_configured: what holds, and who has applied which version. args: nothing, or address and version it applied
-- key config     HASH    version, d, id
-- key confirmed  HASH    address -> version
-- key member     ZSET    members of the channel `agents`
-- -> version, JSON, {address, version, ...}, members
if ARGV[1] then
  local held = tonumber(redis.call('HGET', k_confirmed, ARGV[1]) or 0)
  if tonumber(ARGV[2]) > tonumber(redis.call('HGET', k_config, 'version') or 0) then
    return redis.error_reply('ILLEGAL there is no version ' .. ARGV[2] .. ' of the configuration')
  end
  if tonumber(ARGV[2]) > held and redis.call('ZSCORE', k_member, ARGV[1]) then
    redis.call('HSET', k_confirmed, ARGV[1], ARGV[2])
  end
end
local set = redis.call('HMGET', k_config, 'version', 'd')
local members, confirmed = redis.call('ZRANGE', k_member, 0, -1), redis.call('HGETALL', k_confirmed)
if #confirmed > 2 * #members + 200 then  -- those who have left
  for i = 1, #confirmed, 2 do
    if not redis.call('ZSCORE', k_member, confirmed[i]) then
      redis.call('HDEL', k_confirmed, confirmed[i])
    end
  end
end
return {tonumber(set[1] or 0), set[2] or '', confirmed, members}
