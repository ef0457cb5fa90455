-- distribute_get: where a task is. args: id
-- key at    HASH  id -> where it is (see distribute_lib.lua)
-- key body  HASH  id -> JSON
-- key out   HASH  id -> JSON of how it ended; the last 10,000
-- -> where, body or how it ended
local id = ARGV[1]
local line = redis.call('HGET', k_at, id)
if line then
  return {line, redis.call('HGET', k_body, id)}
end
local out = redis.call('HGET', k_out, id)
if out then
  return {'', out}
end
return redis.error_reply('NOTFOUND there is no task ' .. id .. ' in distribution, or it ended long ago')
