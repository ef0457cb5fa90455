-- fleet_sample: how the services answered. args: JSON of latencies, samples to keep, then name, state, why of each
-- key states   HASH    name -> state when it was last looked at; only of those that are still looked at
-- key samples  STREAM  d: JSON of name -> ms or null; about <keep> of them
-- key events   STREAM  about 10000
-- include registry
-- -> how many states are others than before
redis.call('XADD', k_samples, 'MAXLEN', '~', ARGV[2], '*', 'd', ARGV[1])
local changed, before, now = 0, {}, {}
local flat = redis.call('HGETALL', k_states)
for i = 1, #flat, 2 do before[flat[i]] = flat[i + 1] end
for i = 3, #ARGV, 3 do
  local name, state, why = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  now[name] = true
  if before[name] ~= state then
    redis.call('HSET', k_states, name, state)
    note('fleet.service', name, 'state', state, 'why', why)
    changed = changed + 1
  end
end
for name in pairs(before) do
  if not now[name] then redis.call('HDEL', k_states, name) end
end
return changed
