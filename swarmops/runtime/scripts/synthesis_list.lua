-- synthesis_list: requests of one status, oldest first.
-- args: how many
-- answers: id, its fields; and so on
-- key index  ZSET  open, held or done
-- family synthesis  HASH  <base>synthesis:<id>
local base = string.gsub(k_index, '[a-z]+$', '')
local answer = {}
for _, id in ipairs(redis.call('ZRANGE', k_index, 0, ARGV[1] - 1)) do
  answer[#answer + 1] = id
  answer[#answer + 1] = redis.call('HGETALL', base .. 'synthesis:' .. id)
end
return answer
