-- context_touch: is this context here, and whole? Then it lives at least ttl longer, all of it equally long.
-- args: ttl ms (0: what it was stored with)
-- answers: {manifest's fields, numbers of missing chunks, when it expires}; three empty ones if there is no manifest
-- key manifest  HASH  size, stored, chunks, codec, sums, source, created, ttl; written when all chunks are there
-- family chunk  STRING  <base>chunk:<n>: a byte for the codec, then at most 256 KiB of content; expires
local base = string.sub(k_manifest, 1, -9)
local found = redis.call('HGETALL', k_manifest)
if #found == 0 then return {found, {}, 0} end
local kept = redis.call('HMGET', k_manifest, 'chunks', 'ttl')
local chunks, ttl = tonumber(kept[1]) or 0, math.max(tonumber(ARGV[1]), tonumber(kept[2]) or 0)
local missing = {}
for n = 0, chunks - 1 do
  if redis.call('EXISTS', base .. 'chunk:' .. n) == 0 then missing[#missing + 1] = n end
end
if #missing == 0 then
  for n = 0, chunks - 1 do
    if redis.call('PTTL', base .. 'chunk:' .. n) < ttl then redis.call('PEXPIRE', base .. 'chunk:' .. n, ttl) end
  end
  if redis.call('PTTL', k_manifest) < ttl then redis.call('PEXPIRE', k_manifest, ttl) end
end
local clock = redis.call('TIME')
return {found, missing, clock[1] * 1000 + math.floor(clock[2] / 1000) + redis.call('PTTL', k_manifest)}
