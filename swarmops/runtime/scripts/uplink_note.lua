-- uplink_note: how a synchronisation went.
-- args: 1 or 0, why not, findings pushed, tasks pulled, results returned, contexts sent
-- key uplink  HASH  last_try, last_ok (ms), error, failures, pushed, pulled, returned, sent; a cursor for each shard
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
redis.call('HSET', k_uplink, 'last_try', now, 'error', ARGV[2])
if ARGV[1] == '1' then
  redis.call('HSET', k_uplink, 'last_ok', now)
else
  redis.call('HINCRBY', k_uplink, 'failures', 1)
end
for i, field in ipairs({'pushed', 'pulled', 'returned', 'sent'}) do
  redis.call('HINCRBY', k_uplink, field, ARGV[i + 2])
end
return 1
