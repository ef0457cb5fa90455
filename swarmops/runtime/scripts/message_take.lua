-- message_take: hand out what is in an inbox, first what was handed out before and not acknowledged in time.
-- args: address, how many, visibility ms, deliveries after which a message is given up
-- key inbox    STREAM  h header, p payload, x expiry; group `in`
-- key inboxes  ZSET    address -> last use, ms; those of the last week
-- key dead     STREAM  the channel `dead`: what was given up; 1,000
-- key events   STREAM  about 10000
-- key stats    HASH    counters
-- include registry
-- -> {id, fields, deliveries} each
local address, want, visible, most = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
-- One consumer for all: what counts is when a message was handed out, not to whom, and names would pile up.
local consumer = 'all'
local found, now = {}, clock()

local function drop(id)
  redis.call('XACK', k_inbox, 'in', id)
  redis.call('XDEL', k_inbox, id)
end

local function give(id, fields, tries)
  if fields[5] == 'x' and tonumber(fields[6]) < now then
    drop(id)
    count('messages_expired')
  elseif tries > most then
    drop(id)
    redis.call('XADD', k_dead, 'MAXLEN', 1000, '*', unpack(fields))
    note('message.dead', id, 'inbox', address)
    count('messages_dead')
  else
    found[#found + 1] = {id, fields, tries}
  end
end

if redis.call('EXISTS', k_inbox) == 1 then
  -- Claims come first: they need no memory, so that a full Redis can be drained.
  local old = redis.pcall('XAUTOCLAIM', k_inbox, 'in', consumer, visible, '0-0', 'COUNT', want)
  if old.err then  -- somebody made the stream by hand
    redis.call('XGROUP', 'CREATE', k_inbox, 'in', '0')
    old = {'', {}}
  end
  for _, entry in ipairs(old[2]) do
    if entry then  -- 6.2 names entries that were deleted
      give(entry[1], entry[2], redis.call('XPENDING', k_inbox, 'in', entry[1], entry[1], 1)[1][4])
    end
  end
  if #found < want then
    local read = redis.call('XREADGROUP', 'GROUP', 'in', consumer, 'COUNT', want - #found, 'STREAMS', k_inbox, '>')
    for _, entry in ipairs(read and read[1] and read[1][2] or {}) do
      give(entry[1], entry[2], 1)
    end
  end
else
  redis.call('HDEL', k_stats, '-')
end
redis.call('ZADD', k_inboxes, now, address)
return found
