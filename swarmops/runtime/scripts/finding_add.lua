-- finding_add: keep findings, in the order they come. One whose id is known is left as it is.
-- args: shard, n, then n times: id, type, author, site, at ms (0: now), JSON
-- answers: n times the finding's number, or 0 if its id was known
-- key meta      HASH    as shard_open wrote it; most: findings kept, the oldest go and are counted in `dropped`
-- key finding   HASH    id -> record; meta.most at most
-- key findings  ZSET    id -> number in order
-- key types     ZSET    <type>|<number, 16 digits>|<id>, all of score 0: the order within a type
-- key events    STREAM  what happened to it, about 1,000 entries
-- include shard_lib
if not known() then return redis.error_reply(MISSING) end
local function place(kind, seq, id) return string.format('%s|%016d|%s', kind, seq, id) end
local answer, n = {}, tonumber(ARGV[2])
for i = 1, n do
  local id, kind, author, site, at, data = unpack(ARGV, i * 6 - 3, i * 6 + 2)
  answer[i] = 0
  if call('HEXISTS', k_finding, id) == 0 then
    local seq = call('HINCRBY', k_meta, 'seq', 1)
    if at == '0' then at = string.format('%.0f', now) end
    call('HSET', k_finding, id, table.concat({seq, at, kind, author, site}, '|') .. '\n' .. data)
    call('ZADD', k_findings, seq, id)
    call('ZADD', k_types, 0, place(kind, seq, id))
    event('finding.added', ARGV[1] .. '.' .. id)
    answer[i] = seq
  end
end
local over = call('ZCARD', k_findings) - tonumber(call('HGET', k_meta, 'most'))
if over > 0 then
  for _, id in ipairs(call('ZRANGE', k_findings, 0, over - 1)) do
    local seq, kind = string.match(call('HGET', k_finding, id) or '', '^(%d+)|%d+|([^|]*)|')
    if seq then call('ZREM', k_types, place(kind, seq, id)) end
    call('HDEL', k_finding, id)
  end
  call('ZREMRANGEBYRANK', k_findings, 0, over - 1)
  call('HINCRBY', k_meta, 'dropped', over)
end
live()
return answer
