-- lib: what the scripts of one memory shard share. They all declare `-- key meta`.
--
-- A finding's record: `seq|at ms|type|author|site`, a line feed, the JSON its author wrote.
-- family finding   HASH    id -> record
-- family findings  ZSET    id -> number in order
-- family types     ZSET    <type>|<number>|<id>
-- family versions  LIST    contexts it had, the newest first
-- family open      ZSET    requests that wait
-- family held      ZSET    requests somebody works on
-- family done      ZSET    requests that have ended
-- family events    STREAM  what happened to it
-- family synthesis HASH    <base>synthesis:<id>: a request and its answer
-- family answer    LIST    <base>answer:<id>: for who waits for it, a minute
-- family wake      LIST    one token for those who wait for requests
-- Everything of a shard lives meta.keep ms after the last write (0: for ever); it is renewed together.
local call = redis.call
local base = string.sub(k_meta, 1, -5)
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local MISSING = 'NOTFOUND there is no such shard here: register it first'
local PARTS = {'meta', 'finding', 'findings', 'types', 'versions', 'open', 'held', 'done', 'events'}

local function known() return call('EXISTS', k_meta) == 1 end

local function event(what, id)
  call('XADD', base .. 'events', 'MAXLEN', '~', 1000, '*', 'what', what, 'id', id)
end

local function live()
  local keep = tonumber(call('HGET', k_meta, 'keep') or 0)
  for _, part in ipairs(PARTS) do
    if keep > 0 then call('PEXPIRE', base .. part, keep) else call('PERSIST', base .. part) end
  end
end

-- Everybody who waits for requests is woken by one token; who takes one puts it back if there are more.
local function wake()
  if call('LLEN', base .. 'wake') == 0 then call('LPUSH', base .. 'wake', '1') end
  call('PEXPIRE', base .. 'wake', 86400000)
end

-- A synthesis has ended: it is kept among the last 1,000, and all who wait for it are told.
local function ended(id)
  call('ZADD', base .. 'done', now, id)
  local over = call('ZCARD', base .. 'done') - 1000
  if over > 0 then
    for _, old in ipairs(call('ZRANGE', base .. 'done', 0, over - 1)) do call('DEL', base .. 'synthesis:' .. old) end
    call('ZREMRANGEBYRANK', base .. 'done', 0, over - 1)
  end
  call('DEL', base .. 'answer:' .. id)
  call('RPUSH', base .. 'answer:' .. id, '1')
  call('PEXPIRE', base .. 'answer:' .. id, 3600000)
end
