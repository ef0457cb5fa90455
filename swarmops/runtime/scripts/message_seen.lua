-- message_seen: move cursors of a channel forward. args: address, mark, number, ... for each
-- key cursor   HASH    address -> "<last mark> <its number>"
-- key member   ZSET    address -> last seen, ms
-- include registry
-- -> how many moved. An address that has left stays away.
local function after(a, b)
  local ms, n = string.match(a, '^(%d+)-(%d+)')
  local ms2, n2 = string.match(b, '^(%d+)-(%d+)')
  ms, ms2 = tonumber(ms), tonumber(ms2)
  return ms > ms2 or ms == ms2 and tonumber(n) > tonumber(n2)
end
local now, moved = clock(), 0
for i = 1, #ARGV, 3 do
  local held = redis.call('HGET', k_cursor, ARGV[i])
  if held then
    if after(ARGV[i + 1], held) then
      redis.call('HSET', k_cursor, ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
      moved = moved + 1
    end
    redis.call('ZADD', k_member, 'XX', now, ARGV[i])
  end
end
return moved
