-- context_seal: all chunks are here, from now on the context is seen. Refuses CONFLICT when one is missing.
-- args: chunks, ttl ms, size, sums, source
-- key manifest  HASH  size, stored, chunks, codec, sums, source, created, ttl; expires with its chunks
-- family chunk  STRING  <base>chunk:<n>: a byte for the codec, then at most 256 KiB of content; expires
local base = string.sub(k_manifest, 1, -9)
local chunks, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local stored, packed = 0, 0
for n = 0, chunks - 1 do
  local length = redis.call('STRLEN', base .. 'chunk:' .. n)
  if length == 0 then
    return redis.error_reply('CONFLICT chunk ' .. n + 1 .. ' of ' .. chunks .. ' is missing, upload it again')
  end
  stored = stored + length
  if redis.call('GETRANGE', base .. 'chunk:' .. n, 0, 0) == 'z' then packed = packed + 1 end
end
local codec = packed == 0 and 'none' or packed == chunks and 'zlib' or 'mixed'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local before = redis.call('HGET', k_manifest, 'created')
local kept = tonumber(redis.call('HGET', k_manifest, 'ttl') or 0)
ttl = math.max(ttl, kept)
redis.call('HSET', k_manifest, 'size', ARGV[3], 'stored', stored, 'chunks', chunks, 'codec', codec, 'sums', ARGV[4],
  'source', ARGV[5], 'created', before or now, 'ttl', ttl)
for n = 0, chunks - 1 do redis.call('PEXPIRE', base .. 'chunk:' .. n, ttl) end
redis.call('PEXPIRE', k_manifest, ttl)
return stored
