-- snapshot_due: the leader's automatic snapshots (S3-42). Of each state whose time has come: a live swarm's is
-- snapshotted if it changed since, a dead one's is given an end (S3-39), one that is gone is forgotten.
-- Answers the names of those that were snapshotted.
-- key due          ZSET    name -> ms of the next automatic snapshot
-- key states       ZSET    name -> at ms
-- key archived     ZSET    deregistered swarms -> when
-- key term         STRING  the newest fencing token
-- key leader       STRING  JSON id, term
-- key events       STREAM  about 10000
-- key stats        HASH    counters
-- family state       HASH  state:<name>
-- family swarm       HASH  swarm:<name>
-- family snapshots   ZSET  snapshots:<name>, at most 10
-- family snapshot    HASH  snapshot:<name>
-- family checkpoints ZSET  checkpoints:<name>, at most 20
-- family checkpoint  HASH  checkpoint:<name>
-- include registry
-- include state_life
-- include snapshot_keep
local token, interval, ttl, most, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local stale = token ~= '' and fence(k_leader, k_term, token)
if stale then return stale end
local root = string.match(k_due, '^(.*:)')
local now = clock()

local function snapshot(name, state)
  local order, kept = root .. 'snapshots:' .. name, root .. 'snapshot:' .. name
  local last = redis.call('ZREVRANGE', order, 0, 0)[1]
  local fine, mark = pcall(cjson.decode, last and redis.call('HGET', kept, last .. '.m') or '')
  local s = redis.call('HMGET', state, 'v', 'd', 'sum', 'by')
  if fine and mark.v == tonumber(s[1]) and mark.sum == s[3] then return false end
  local id = 'auto-' .. s[1] .. '-' .. now
  mark = { id = id, label = 'auto', v = tonumber(s[1]), at = now, by = s[4] or '', size = #(s[2] or ''), sum = s[3] or '' }
  keep(order, kept, limit, mark, s[2] or '')
  note('snapshot.taken', name, 'mark', id, 'label', 'auto')
  count('snapshots_taken')
  return true
end

-- Each kind has an end of its own, so that one clock never takes them all.
local function let_go(name, state)
  if redis.call('PTTL', state) < 0 then redis.call('PEXPIRE', state, ttl) end
  for part, times in pairs({ checkpoint = 3, checkpoints = 3, snapshot = 7, snapshots = 7 }) do
    local key = root .. part .. ':' .. name
    if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ttl * times) end
  end
end

local function keep_on(name, state)
  redis.call('PERSIST', state)
  for _, part in ipairs({ 'checkpoint', 'checkpoints', 'snapshot', 'snapshots' }) do
    redis.call('PERSIST', root .. part .. ':' .. name)
  end
end

local taken = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', k_due, '-inf', now, 'LIMIT', 0, most)) do
  local state = root .. 'state:' .. name
  if redis.call('EXISTS', state) == 0 then
    redis.call('ZREM', k_due, name)
    redis.call('ZREM', k_states, name)
  else
    redis.call('ZADD', k_due, now + interval, name)
    local of = life(root .. 'swarm:' .. name, name)
    if of == 'live' then
      keep_on(name, state)
      if snapshot(name, state) then taken[#taken + 1] = name end
    elseif of == 'dead' then
      let_go(name, state)
    end
  end
end
return taken
