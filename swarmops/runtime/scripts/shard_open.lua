-- shard_open: a shard is there, or there again. Its findings and contexts stay as they are.
-- args: id, record JSON, ttl ms, keep ms, findings kept at most
-- key meta    HASH    d (record), created, beat, ttl, keep, most, seq, dropped, version, requests
-- key events  STREAM  what happened to it, about 1,000 entries
-- include shard_lib
call('HSET', k_meta, 'd', ARGV[2], 'ttl', ARGV[3], 'keep', ARGV[4], 'most', ARGV[5], 'beat', now)
if call('HSETNX', k_meta, 'created', now) == 1 then event('shard.registered', ARGV[1]) end
live()
return 1
