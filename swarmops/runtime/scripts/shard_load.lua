-- shard_load: a context is now the newest one of this shard. The same content and source again is the same version.
-- args: shard, sha, size, stored, source, number of this version elsewhere (0: the next one here)
-- answers: version|sha|size|stored|loaded ms|source
-- key meta      HASH    as shard_open wrote it
-- key versions  LIST    newest first, 20 at most: version|sha|size|stored|loaded ms|source
-- key events    STREAM  what happened to it, about 1,000 entries
-- include shard_lib
if not known() then return redis.error_reply(MISSING) end
local newest = call('LINDEX', k_versions, 0)
if newest then
  local sha, source = string.match(newest, '^%d+|(%x+)|%d+|%d+|%d+|(.*)$')
  if sha == ARGV[2] and source == ARGV[5] then return newest end
end
local version = call('HINCRBY', k_meta, 'version', 1)
if tonumber(ARGV[6]) > version then
  version = tonumber(ARGV[6])
  call('HSET', k_meta, 'version', version)
end
local entry = table.concat({version, ARGV[2], ARGV[3], ARGV[4], string.format('%.0f', now), ARGV[5]}, '|')
call('LPUSH', k_versions, entry)
call('LTRIM', k_versions, 0, 19)
event('context.loaded', ARGV[1])
live()
return entry
