-- fleet_samples: the newest of the last so many ms. args: ms, how many at most
-- key samples  STREAM  d: JSON of name -> ms or null
-- include registry
-- -> entries, the newest first
return redis.call('XREVRANGE', k_samples, '+', text(math.max(0, clock() - ARGV[1])), 'COUNT', ARGV[2])
