-- conflict_close: decide the votes whose deadline has passed. args: token (0: whoever asks), one id or '', how many
-- key conflicts  HASH    id -> JSON (see conflict_lib.lua); 1,000 decided and 1,000 open
-- key order      ZSET    id -> ms; the last 1,000 decided
-- key open       ZSET    id -> ms of its deadline; at most 1,000
-- key swarms     ZSET    id -> ms when created
-- key inboxes    ZSET    address -> last use, ms
-- key leader     STRING  who leads
-- key term       STRING  the newest fencing token
-- key events     STREAM  about 10000
-- key stats      HASH    counters
-- family swarm          HASH    {reg}:swarm:<id>
-- family conflict_vote  HASH    {reg}:conflict_vote:<id>: swarm -> its choice; a day at most
-- family inbox          STREAM  {reg}:inbox:swarm.<id>
-- include registry
-- include coord_lib
-- include conflict_lib
-- -> the conflicts as JSON: those decided now, or the one that was asked for
local token, id, most = unpack(ARGV)
if token ~= '0' then
  local why = fence(k_leader, k_term, token)
  if why then
    return why
  end
end
local now, found = clock(), {}
local due = redis.call('ZRANGEBYSCORE', k_open, '-inf', now, 'LIMIT', 0, most)
if id ~= '' then
  local until_ = tonumber(redis.call('ZSCORE', k_open, id))
  due = until_ and until_ <= now and {id} or {}
end
for _, one in ipairs(due) do
  settle(cjson.decode(redis.call('HGET', k_conflicts, one)), now)
  found[#found + 1] = redis.call('HGET', k_conflicts, one)
end
if id ~= '' and #found == 0 then
  local held = redis.call('HGET', k_conflicts, id)
  if not held then
    return redis.error_reply('NOTFOUND there is no conflict ' .. id)
  end
  found[1] = held
end
return found
