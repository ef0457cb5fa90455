-- lib: tasks that plain Redis users posted (S0-29): LPUSH <base>post '{"type":"echo","args":{...}}'
-- Optional: id, priority (0-9), needs (list), delay, expires, timeout, backoff (s), retries, meta.
local NAME = '^[a-z0-9][a-z0-9_-]*$'

local function name(value)
  return type(value) == 'string' and #value <= 63 and string.match(value, NAME) and value
end

local function number(value, low, high)
  return type(value) == 'number' and value >= low and value <= high
end

local function wrong(entry)
  if not name(entry.type) then return 'type is not a name' end
  if conf.kinds and not string.find(conf.kinds, ',' .. entry.type .. ',', 1, true) then
    return 'no worker knows the type ' .. entry.type
  end
  if entry.priority and not (number(entry.priority, 0, 9) and entry.priority % 1 == 0) then
    return 'priority is not a whole number from 0 to 9'
  end
  for _, which in ipairs({ 'delay', 'expires', 'timeout', 'backoff' }) do
    if entry[which] and not number(entry[which], 0, 31536000) then return which .. ' is not a number of seconds' end
  end
  if entry.retries and not number(entry.retries, 0, 1000) then return 'retries is not a number from 0 to 1000' end
  if entry.needs then
    if type(entry.needs) ~= 'table' or #entry.needs > 64 then return 'needs is not a list of names' end
    for key, need in pairs(entry.needs) do
      if type(key) ~= 'number' or not name(need) then return 'needs is not a list of names' end
    end
  end
end

local function lane_of(entry)
  local once, needs = {}, {}
  for _, need in ipairs(entry.needs or {}) do
    if not once[need] then needs[#needs + 1] = need end
    once[need] = true
  end
  table.sort(needs)
  return table.concat(needs, ',')
end

local function ms(seconds)
  return string.format('%.0f', (seconds or 0) * 1000)
end

-- A posted text that is no task ends at once, as dead, with the reason and its first 500 characters.
local function spoilt(id, reason, text)
  local shown = cjson.encode((string.gsub(string.sub(text, 1, 500), '[^\32-\126]', '?')))
  close(id, 'spoilt', 'post', now, '', '"error":' .. cjson.encode(reason) .. ',"posted":' .. shown)
end

local function take_post(text, id)
  if #text > 1048576 then return spoilt(id, 'has more than 1,048,576 bytes', text) end
  local good, entry = pcall(cjson.decode, text)
  if not good then return spoilt(id, 'is not JSON', text) end
  if type(entry) ~= 'table' then return spoilt(id, 'is not an object', text) end
  for key, value in pairs(entry) do
    if value == cjson.null then entry[key] = nil end
  end
  if entry.id ~= nil and not name(entry.id) then return spoilt(id, 'id is not a name', text) end
  id = entry.id or id
  if call('HEXISTS', k_task, id) == 1 or call('HEXISTS', k_out, id) == 1 then return end
  local reason = wrong(entry)
  if reason then return spoilt(id, reason, text) end
  local lane, priority, expires = lane_of(entry), entry.priority or 5, '0'
  if entry.expires and entry.expires > 0 then
    expires = string.format('%.0f', now + entry.expires * 1000)
    call('ZADD', k_timers, expires, 'x:' .. id)
  end
  call('HSET', k_task, id, table.concat({ now, expires, lane, priority, math.floor(entry.retries or 3),
    ms(entry.timeout), ms(entry.backoff or 1), '', entry.type, '' }, '|') .. '\n' .. text)
  if entry.delay and entry.delay > 0 then
    call('ZADD', k_timers, now + math.floor(entry.delay * 1000), 'd:' .. id)
  else
    arrive(id, lane, ticks(1) - priority * conf.aging)
  end
  said('submitted', id)
end

-- Up to 100 of them, as long as the queue has room.
local function take_posts()
  local room = conf.limit - call('HLEN', k_task)
  if room <= 0 then return end
  for i, text in ipairs(call('RPOP', k_post, math.min(100, room)) or {}) do
    take_post(text, string.format('post-%.0f-%d', now_us, i))
  end
end
