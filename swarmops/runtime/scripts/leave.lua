-- leave: a worker goes; what it holds is ready again at once, where it stood.
-- args: worker;  answers: how many tasks it gave back
-- key task    HASH    id -> record
-- key lanes   SET     lanes that may hold ready tasks
-- key wake    LIST    one token
-- key conf    HASH    settings of the queue
-- key stats   HASH    counters
-- key events  STREAM  audit trail, about 10,000 entries
-- key held    HASH    id -> worker attempt since_ms submitted_ms type
-- key alive   ZSET    worker -> end of its lease, ms
-- key load    HASH    worker -> number of tasks it holds
-- key alone   HASH    worker -> the suspect task it runs alone
-- key caps    HASH    worker -> its capabilities
-- key deaths  HASH    id -> workers that died while they held it
-- key next    HASH    id -> its children
-- key wfleft  HASH    workflow -> tasks not yet ended
-- key waits   HASH    id -> who wants its outcome
-- family ready  ZSET  <base>ready:<lane>
-- family wake   LIST  <base>wake:<capability>
-- include queue
-- include ending
local worker, n, cursor, once = ARGV[1], 0, '0', {} -- HSCAN may show one twice
call('ZREM', k_alive, worker)
call('HDEL', k_caps, worker)
if call('HEXISTS', k_load, worker) == 1 then
  repeat
    local page = call('HSCAN', k_held, cursor, 'COUNT', 1000)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local id = page[2][i]
      if string.match(page[2][i + 1], '^%S+') == worker and not once[id] then
        once[id] = true
        n = n + 1
        unhold(id, worker)
        said('released', id)
        local record = call('HGET', k_task, id)
        if record then go_back(id, record, suspects and call('HEXISTS', k_deaths, id) == 1) end
      end
    end
  until cursor == '0'
  settle()
  call('HDEL', k_load, worker)
end
call('HDEL', k_alone, worker)
event('worker.left', { worker })
return n
