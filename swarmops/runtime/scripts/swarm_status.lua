-- swarm_status: one legal step. args: id, to, why, term (0: whoever asks)
-- key swarms    ZSET    id -> ms when created
-- key due       ZSET    id -> ms when it is interrupted (the live) or archived (the others)
-- key ended     ZSET    id -> ms when completed or failed; at most 1000, which count for no limit
-- key archive   HASH    id -> JSON; 7 days, at most 10000
-- key archived  ZSET    id -> ms when archived
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- key leader    STRING  who leads
-- key term      STRING  the newest fencing token
-- family swarm         HASH  {reg}:swarm:<id>: d (JSON), status, created, beat, load, why, dead, ttl, nonce
-- family swarm_status  SET   {reg}:swarm_status:<status>: ids
-- include registry
-- include swarm_index
-- -> the status before
local id, to, why, term = unpack(ARGV)
if term ~= '0' then
  local stale = fence(k_leader, k_term, term)
  if stale then
    return stale
  end
end
local now = clock()
local from = redis.call('HGET', base .. 'swarm:' .. id, 'status')
if not from then
  return redis.error_reply('NOTFOUND there is no swarm ' .. id)
end
if LIVE[from] and tonumber(redis.call('ZSCORE', k_due, id)) <= now then
  from = 'interrupted'  -- its time is over, though nobody has swept yet
end
if not LEGAL[from][to] then
  local may = {}
  for one in pairs(LEGAL[from]) do
    may[#may + 1] = one
  end
  table.sort(may)
  return redis.error_reply('ILLEGAL ' .. id .. ' is ' .. from .. ', from there it can become ' ..
    (#may > 0 and table.concat(may, ', ') or 'nothing else') .. ', not ' .. to)
end
move(id, redis.call('HGET', base .. 'swarm:' .. id, 'status'), to, why, now)
return from
