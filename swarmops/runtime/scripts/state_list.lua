-- state_list: states, the last written first: name, v, at, by, bytes, ms left (-1: no end). Forgets those that ended.
-- key states    ZSET  name -> at ms
-- key due       ZSET  name -> ms of the next automatic snapshot
-- family state  HASH  state:<name>
local root = string.match(k_states, '^(.*:)')
local found, gone = {}, {}
for _, name in ipairs(redis.call('ZREVRANGE', k_states, ARGV[1], ARGV[1] + ARGV[2] - 1)) do
  local key = root .. 'state:' .. name
  local s = redis.call('HMGET', key, 'v', 'at', 'by')
  if s[1] then
    found[#found + 1] = { name, s[1], s[2] or '0', s[3] or '', redis.call('HSTRLEN', key, 'd'), redis.call('PTTL', key) }
  else
    gone[#gone + 1] = name
  end
end
for _, name in ipairs(gone) do
  redis.call('ZREM', k_states, name)
  redis.call('ZREM', k_due, name)
end
return found
