-- fleet_publish: a document about the fleet replaces the one before. args: kind, JSON, by whom or ''
-- key fleet   HASH    <kind> JSON, <kind>.at ms, <kind>.by
-- key events  STREAM  about 10000
-- key stats   HASH    counters
-- include registry
-- -> ms
local kind, now = ARGV[1], text(clock())
redis.call('HSET', k_fleet, kind, ARGV[2], kind .. '.at', now, kind .. '.by', ARGV[3])
note('fleet.published', kind, 'by', ARGV[3])
count('fleet_published')
return tonumber(now)
