-- snapshot_take: one more snapshot or checkpoint, of the state as it is or of the data given; the oldest goes when the
-- limit is passed. Answers its description; the same id again answers what is there.
-- key state     HASH    v, d, sum
-- key order     ZSET    id -> number, at most ARGV limit
-- key kept      HASH    <id>.m description, <id>.d data, n last number
-- key term      STRING  the newest fencing token
-- key leader    STRING  JSON id, term
-- key events    STREAM  about 10000
-- key stats     HASH    counters
-- include registry
-- include snapshot_keep
local kind, name, id, label, by, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local token, data, sum = ARGV[7], ARGV[8], ARGV[9]
local stale = token ~= '' and fence(k_leader, k_term, token)
if stale then return stale end
local there = redis.call('HGET', k_kept, id .. '.m')
if there then return there end
local s = redis.call('HMGET', k_state, 'v', 'd', 'sum')
if sum == '' then
  if not s[1] then return redis.error_reply('NOTFOUND there is no state ' .. name) end
  data, sum = s[2] or '', s[3] or ''
end
local mark = { id = id, label = label, v = tonumber(s[1]) or 0, at = clock(), by = by, size = #data, sum = sum }
keep(k_order, k_kept, limit, mark, data)
redis.call('PERSIST', k_order)
redis.call('PERSIST', k_kept)
note(kind .. '.taken', name, 'mark', id, 'label', label)
count(kind .. 's_taken')
return cjson.encode(mark)
