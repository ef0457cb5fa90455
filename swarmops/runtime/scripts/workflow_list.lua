-- workflow_list: workflows, the newest first.
-- args: offset, limit
-- answers: [id, JSON, tasks not yet ended, ...]
-- key wf      HASH  workflow -> its JSON
-- key wfs     ZSET  workflow -> when it was submitted, ms
-- key wfleft  HASH  workflow -> tasks not yet ended
local call = redis.call
local answer = {}
for _, id in ipairs(call('ZREVRANGE', k_wfs, ARGV[1], ARGV[1] + ARGV[2] - 1)) do
  answer[#answer + 1] = id
  answer[#answer + 1] = call('HGET', k_wf, id) or '{}'
  answer[#answer + 1] = call('HGET', k_wfleft, id) or '0'
end
return answer
