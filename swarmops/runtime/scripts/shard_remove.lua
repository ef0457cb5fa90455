-- shard_remove: forget a shard with its findings and syntheses. Contexts are not its own: they expire when unused.
-- answers: 1, or 0 if there was none
-- key meta  HASH  as shard_open wrote it
-- key open  ZSET  synthesis requests that wait
-- key held  ZSET  those that are claimed
-- key done  ZSET  those that have ended
-- family synthesis  HASH  <base>synthesis:<id>
-- include shard_lib
local was = call('EXISTS', k_meta)
for _, key in ipairs({k_open, k_held, k_done}) do
  for _, id in ipairs(call('ZRANGE', key, 0, -1)) do
    call('DEL', base .. 'synthesis:' .. id, base .. 'answer:' .. id)
  end
end
for _, part in ipairs(PARTS) do call('UNLINK', base .. part) end
call('DEL', base .. 'wake')
return was
