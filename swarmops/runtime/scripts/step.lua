-- step: what a worker says and asks in one call: outcomes, tasks given back, its heartbeat, and more work. In passing
-- it takes tasks from dead workers, looks at the timers, and takes in what plain Redis users posted.
-- args: worker, lease ms, want, capabilities joined by commas, tasks it thinks it holds or -1,
--     n, n times id, attempt, d(one) or f(ailed, f500: again after 500 ms) or
--     x (failed, do not retry) or u (no handler for its type here), JSON;  m, m ids given back
-- answers: [ms until something is due or -1, [id, attempt, record ...], [id, why refused ...],
--     [ids it held before, when they are not as many as it thinks], [child, parent, outcome ...], was it different (0, 1)]
-- key task      HASH    id -> record, of open and dead tasks; conf.limit at most
-- key out       HASH    id -> outcome of ended tasks, bounded by conf.keep and conf.kept
-- key lanes     SET     lanes that may hold ready tasks; 256 at most
-- key clock     STRING  the last number given to a ready task
-- key timers    ZSET    d:<id> delayed until, x:<id> expires, t:<id>:<attempt> times out -> ms; up to 3 a task
-- key wake      LIST    one token: there is something for an idle worker
-- key conf      HASH    settings of the queue
-- key stats     HASH    counters
-- key events    STREAM  audit trail, about 10,000 entries
-- key held      HASH    id -> worker attempt since_ms submitted_ms type: the running tasks
-- key alive     ZSET    worker -> end of its lease, ms
-- key load      HASH    worker -> number of tasks it holds
-- key caps      HASH    worker -> its capabilities, joined by commas
-- key alone     HASH    worker -> the suspect task it runs alone
-- key attempts  HASH    id -> claims so far: the fencing token
-- key fails     HASH    id -> failures so far, and the last error
-- key deaths    HASH    id -> workers that died while they held it, and when the last one did
-- key progress  HASH    id -> what its worker said last
-- key fin       LIST    ms:id of outcomes, oldest first
-- key dead      ZSET    id -> when it was given up; its record stays in task
-- key deps      HASH    id -> parents not yet done
-- key next      HASH    id -> its children
-- key par       HASH    id -> its parents
-- key wfleft    HASH    workflow -> tasks not yet ended
-- key waits     HASH    id -> who wants its outcome
-- key post      LIST    tasks from plain Redis users, as JSON
-- family ready   ZSET  <base>ready:<lane>: id -> score, lowest first
-- family reply   LIST  <base>reply:<client>: an outcome, for a minute
-- family wake    LIST  <base>wake:<capability>: the token for those who have it
-- family wfdone  LIST  <base>wfdone:<workflow>: its ended tasks, until it ends
-- include queue
-- include ending
-- include taking
-- include posting
local worker, lease, want = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
call('HDEL', k_held, '') -- lets everything pass when memory is full: this call frees some
local at = 6
local holds = tonumber(call('HGET', k_load, worker) or 0)
local differs = tonumber(ARGV[5]) >= 0 and tonumber(ARGV[5]) ~= holds
local refused = {}

local n = tonumber(ARGV[at])
if n > 0 then take_results(worker, at + 1, n, refused) end
at = at + 1 + n * 4
local back = {}
for i = at + 1, at + tonumber(ARGV[at]) do back[#back + 1] = ARGV[i] end
if #back > 0 then take_back(worker, back) end
if lease <= 0 then -- it rests: what it can do is still known
  call('ZREM', k_alive, worker)
elseif call('ZADD', k_alive, now + lease, worker) == 1 then
  call('HSET', k_caps, worker, ARGV[4])
end
if #outs > 0 or #unheld > 0 then settle() end

reap()
due()
if call('LLEN', k_post) > 0 then take_posts() end
if #outs > 0 or #unheld > 0 or next(arrivals) or next(ended) then settle() end
local claimed, parents = {}, {}
if want > 0 then claimed, parents = claim(worker, want, ARGV[4]) end
if #outs > 0 then settle() end
if n > 0 or #claimed == 0 then trim() end

local held = {}
if differs then
  local new = {}
  for i = 1, #claimed, 3 do new[claimed[i]] = true end
  for _, id in ipairs(held_by({ [worker] = true }, 100000)) do
    if not new[id] then held[#held + 1] = id end
  end
end
local soon = call('ZRANGE', k_timers, 0, 0, 'WITHSCORES')[2]
return { soon and math.max(0, soon - now) or -1, claimed, refused, held, parents, differs and 1 or 0 }
