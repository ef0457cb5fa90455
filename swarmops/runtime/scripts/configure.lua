-- configure: sets what is given of a queue's settings, and answers them all.
-- args: n fields and values;  answers: [field, value, ...]
-- key conf  HASH  settings of the queue: limit aging keep kept audit kinds deaths
if #ARGV > 0 then redis.call('HSET', k_conf, unpack(ARGV)) end
return redis.call('HGETALL', k_conf)
