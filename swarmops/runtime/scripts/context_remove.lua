-- context_remove: forget a context, and what an upload may have left of it.
-- args: how many chunks there may be, if the manifest does not say
-- answers: 1, or 0 if there was none
-- key manifest  HASH  as context_seal wrote it
-- family chunk  STRING  <base>chunk:<n>
local base = string.sub(k_manifest, 1, -9)
local chunks = tonumber(redis.call('HGET', k_manifest, 'chunks') or ARGV[1])
local was = redis.call('DEL', k_manifest)
for n = 0, chunks - 1 do redis.call('UNLINK', base .. 'chunk:' .. n) end
return was
