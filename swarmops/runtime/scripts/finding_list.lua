-- finding_list: findings behind a number, in order; at most so many, and about 4 MB.
-- args: number, how many, type ('': any)
-- answers: 1 if there are more or 0, then id, record; and so on
-- key meta      HASH  as shard_open wrote it
-- key finding   HASH  id -> record
-- key findings  ZSET  id -> number in order
-- key types     ZSET  <type>|<number, 16 digits>|<id>
-- include shard_lib
local after, most, kind = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local ids
if kind == '' then
  ids = call('ZRANGEBYSCORE', k_findings, '(' .. string.format('%.0f', after), '+inf', 'LIMIT', 0, most + 1)
else
  local from = '[' .. string.format('%s|%016d|', kind, after + 1)
  ids = call('ZRANGEBYLEX', k_types, from, '(' .. kind .. '}', 'LIMIT', 0, most + 1)
  for i, member in ipairs(ids) do ids[i] = string.match(member, '([^|]*)$') end
end
local answer, bytes = {0}, 0
for i, id in ipairs(ids) do
  if i > most or bytes > 4000000 then
    answer[1] = 1
    break
  end
  local record = call('HGET', k_finding, id)
  answer[#answer + 1] = id
  answer[#answer + 1] = record
  bytes = bytes + string.len(record)
end
return answer
