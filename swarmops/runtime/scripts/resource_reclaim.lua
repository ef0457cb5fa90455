-- resource_reclaim: the leader takes back what dead swarms hold, and what lies idle longer than its pool allows.
-- args: token, how many swarms at most
-- key leader    STRING  who leads
-- key term      STRING  the newest fencing token
-- key used      HASH    kind -> what swarms hold of it
-- key idle      HASH    kind -> ms; no field for never
-- key shares    ZSET    swarm -> ms of its last allocation; those that hold something
-- key cursor    STRING  the last swarm that was looked at
-- key swarms    ZSET    id -> ms when created
-- key inboxes   ZSET    address -> last use, ms
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- family share      HASH    {reg}:share:<swarm>: kind -> amount
-- family share_use  HASH    {reg}:share_use:<swarm>: kind -> ms of the last use
-- family inbox      STREAM  {reg}:inbox:swarm.<id>
-- include registry
-- include coord_lib
-- include resource_lib
-- -> swarm, kind, amount, why of each
local why = fence(k_leader, k_term, ARGV[1])
if why then
  return why
end
redis.call('HDEL', k_used, '')  -- a shrinking command first: a full Redis can be freed
local now, found, most = clock(), {}, tonumber(ARGV[2])
local all = redis.call('ZCARD', k_shares)
local from = all > most and tonumber(redis.call('GET', k_cursor) or 0) or 0
if from >= all then
  from = 0
end
local seen = redis.call('ZRANGE', k_shares, from, from + most - 1)
for _, swarm in ipairs(seen) do
  local alive = keeps(swarm, now)
  local held = redis.call('HGETALL', root .. 'share:' .. swarm)
  for i = 1, #held, 2 do
    local kind = held[i]
    local idle = tonumber(redis.call('HGET', k_idle, kind))
    local since = tonumber(redis.call('HGET', root .. 'share_use:' .. swarm, kind) or 0)
    local reason = not alive and 'the swarm is gone' or idle and now - since > idle and 'idle'
    if reason then
      local back = give_back(swarm, kind)
      found[#found + 1] = {swarm, kind, back, reason}
      note('resource.reclaimed', swarm, 'kind', kind, 'amount', text(back), 'why', reason)
      count('resources_reclaimed')
      if alive then
        tell(swarm, 'resource.reclaimed', {resource = kind, amount = back, why = reason})
      end
    end
  end
end
redis.call('SET', k_cursor, from + #seen)
return found
