-- stats_registry: counters and gauges of the registry at one moment. args: ms without a beat after which an agent is
-- dead, then the statuses of swarms
-- key stats     HASH    counters
-- key agents    ZSET    id -> last beat, ms
-- key inboxes   ZSET    address -> last use, ms
-- key channels  ZSET    name -> last use, ms
-- key events    STREAM  about 10000
-- key leader    STRING  who leads
-- key term      STRING  the newest fencing token
-- family swarm_status  SET     <k_stats up to its last colon>:swarm_status:<status>
-- family inbox         STREAM  <k_stats up to its last colon>:inbox:<address>: the 1,000 that were used last
-- include registry
-- -> counters, now, agents, alive, leads (1, 0), term, events, channels, swarms by status, inboxes, {address, length, ...}
local base = string.sub(k_stats, 1, -6)
local now = clock()
local swarms = {}
for i = 2, #ARGV do
  swarms[i - 1] = redis.call('SCARD', base .. 'swarm_status:' .. ARGV[i])
end
local lengths = {}
for _, address in ipairs(redis.call('ZREVRANGE', k_inboxes, 0, 999)) do
  local length = redis.call('XLEN', base .. 'inbox:' .. address)
  if length > 0 then
    lengths[#lengths + 1] = address
    lengths[#lengths + 1] = length
  end
end
return {
  redis.call('HGETALL', k_stats), now, redis.call('ZCARD', k_agents),
  redis.call('ZCOUNT', k_agents, '(' .. text(now - ARGV[1]), '+inf'), redis.call('EXISTS', k_leader),
  tonumber(redis.call('GET', k_term) or 0), redis.call('XLEN', k_events), redis.call('ZCARD', k_channels), swarms,
  redis.call('ZCARD', k_inboxes), lengths,
}
