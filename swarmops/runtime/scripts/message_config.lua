-- message_config: a new configuration for all agents, with the next version. args: sender, id, header, config JSON
-- key config     HASH    version, d, id: what holds
-- key confirmed  HASH    address -> version it has applied; of those in channel `agents`
-- key channel    STREAM  the channel `agents`
-- key channels   ZSET    name -> last use, ms
-- key numbers    HASH    name -> messages so far
-- key limits     HASH    rate burst inbox history age
-- key events     STREAM  about 10000
-- key stats      HASH    counters
-- include registry
-- -> version
local held = redis.call('HMGET', k_config, 'id', 'version')
if held[1] == ARGV[2] then
  return tonumber(held[2])
end
local version = redis.call('HINCRBY', k_config, 'version', 1)
redis.call('HSET', k_config, 'd', ARGV[4], 'id', ARGV[2])
local set = redis.call('HMGET', k_limits, 'history', 'age')
local n, now = redis.call('HINCRBY', k_numbers, 'agents', 1), clock()
redis.call('XADD', k_channel, 'MAXLEN', tonumber(set[1] or 1000), '*', 'h', ARGV[3],
  'p', '{"version":' .. version .. ',"config":' .. ARGV[4] .. '}', 'n', n)
redis.call('PEXPIRE', k_channel, tonumber(set[2] or 3600000))
redis.call('ZADD', k_channels, now, 'agents')
note('config.pushed', text(version), 'by', ARGV[1])
count('messages_sent')
return version
