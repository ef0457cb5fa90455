-- unwait: the caller does not wait for this task any longer.
-- args: id, client
-- key waits  HASH  id -> clients
local id, client, left = ARGV[1], ARGV[2], {}
for one in string.gmatch(redis.call('HGET', k_waits, id) or '', '%S+') do
  if one ~= client then left[#left + 1] = one end
end
if #left > 0 then
  redis.call('HSET', k_waits, id, table.concat(left, ' '))
else
  redis.call('HDEL', k_waits, id)
end
return 1
