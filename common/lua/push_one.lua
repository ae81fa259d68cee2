-- push_one: put one envelope with options into ready or scheduled.
-- KEYS 1 ready (list)  2 config (hash)  3 stats (hash)  4 stats of the minute
--      5 scheduled (zset)  6 lock of the unique key (string)
--      7 pending of that key (string)  8 once (string)  9 hash of the job
--      (6 to 9: any key of the queue where they are not used)
-- ARGV 1 "0" append, "1" put in front   2 format of the caller
--      3 envelope, beginning {"id":"<id>"   4 id
--      5 due instant or "0"   6 delay in ms or "0": the later one counts
--      7 lock: "" none, "until" without end, or its ttl in ms
--      8 on conflict: "skip", "replace" or "error"
--      9 ttl of once in ms or "0"
--      10 "1" to keep the news, then 11 type and 12 created_at
--      13 name of the control channel
--      14 "1" if it comes out of an outbox: no limit holds, and a lock that
--      it has already is no news of it (optional)
--      15 mark of what comes, which once keeps, or "" (optional)
-- Returns { "OK", depth }, { "SAME" } if it has come before, behind it the id
-- that once tells, { "OTHER", that id } if once has another mark,
-- { "HELD", id of the holder }, { "REPLACED", id of the holder },
-- { "FORMAT", format of the queue } or { "FULL", depth, 0, max_length (not
-- there if it has none) }.
-- Moves: producer -> ready or scheduled.
-- The job is put before its lock: if this stops half-way it can be pushed
-- twice, and never is a lock held for a job that is not there. No harmless
-- write comes first, so that it is refused at maxmemory.
local ready, scheduled, lock, pending = KEYS[1], KEYS[5], KEYS[6], KEYS[7]
local envelope, id, once_ms = ARGV[3], ARGV[4], tonumber(ARGV[9])
local locks, keeps, moved = ARGV[7] ~= '', ARGV[10] == '1', ARGV[14] == '1'
local mark = ARGV[15] or ''
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function limit(text)
  local n = tonumber(text or '')
  return n and n >= 0 and n
end

-- Counts where counters can be; a planted one costs no job.
local function count(name)
  redis.pcall('HINCRBY', KEYS[3], name, 1)
  if redis.pcall('HINCRBY', KEYS[4], name, 1) == 1 then
    redis.pcall('EXPIRE', KEYS[4], 86400)
  end
end

-- Into scheduled, apart from an equal member by white space that spells a
-- number, which grows with time. Returns the member.
local function schedule(e, due)
  local member, blank = e, (t[1] % 1000) * 1000000 + t[2]
  while redis.call('ZADD', scheduled, 'NX', due, member) == 0 do
    blank = blank + 1
    local tail, n = {}, blank
    while n > 0 do
      tail[#tail + 1] = n % 2 == 0 and ' ' or '\t'
      n = math.floor(n / 2)
    end
    member = e .. table.concat(tail)
  end
  return member
end

-- Notes that it has come, as the job of this id: "<id>" or "<id> <mark>".
local function come_as(job)
  if once_ms > 0 then
    local note = mark == '' and job or job .. ' ' .. mark
    redis.call('SET', KEYS[8], note, 'PX', once_ms)
  end
end

-- What is behind the adding of a job that waits until it is due.
local function scheduled_as(member, due)
  if locks then
    redis.call('SET', pending, member, 'PXAT', due + 3600000)
  end
  if redis.call('ZRANGE', scheduled, 0, 0)[1] == member then
    redis.pcall('PUBLISH', ARGV[13], string.format('due %.0f', due))
  end
end

local l = redis.call('HMGET', KEYS[2], 'format', 'max_length', 'max_bytes')
local format, current = tonumber(ARGV[2]), l[1] or ARGV[2]
if not tonumber(current) then
  return redis.error_reply('ERR config format is no number: ' .. current)
end
current = tonumber(current)
if current > format then return { 'FORMAT', current } end
if envelope:sub(1, #id + 8) ~= '{"id":"' .. id .. '"' then
  return redis.error_reply('ERR push_one: the envelope does not begin with its id')
end
local due = math.max(tonumber(ARGV[5]), now + tonumber(ARGV[6]))
-- A key of another type stops us here, before anything is there.
local depth = redis.call('LLEN', ready)
redis.call('ZCARD', scheduled)
if keeps then redis.call('HLEN', KEYS[9]) end
local note = once_ms > 0 and redis.call('GET', KEYS[8])
if note then
  local job, was = note:match('^(%S*) ?(.*)$')
  return { mark ~= '' and was ~= mark and 'OTHER' or 'SAME', job }
end

if locks then
  local holder, was = redis.call('GET', lock), redis.call('GET', pending)
  if holder == id and not moved then return { 'SAME' } end
  if holder and holder ~= id then
    local head = '{"id":"' .. holder .. '"'
    if ARGV[8] ~= 'replace' or not was or was:sub(1, #head) ~= head
      or not redis.call('ZSCORE', scheduled, was) then
      return { 'HELD', holder }
    end
    local e = head .. envelope:sub(#id + 9)
    if e == was then
      redis.call('ZADD', scheduled, due, e)
    else
      e = schedule(e, due)
      redis.call('ZREM', scheduled, was)
    end
    come_as(holder)
    scheduled_as(e, due)
    return { 'REPLACED', holder }
  end
end

if due <= now and not moved then
  local max, max_bytes = limit(l[2]), limit(l[3])
  local full = max and depth >= max
  if not full and max_bytes and depth > 0 then
    local used = redis.pcall('MEMORY', 'USAGE', ready)
    if type(used) ~= 'number' then
      return redis.error_reply('ERR max_bytes needs MEMORY USAGE: '
        .. (used and used.err or 'no answer'))
    end
    full = used + #envelope > max_bytes
  end
  if full then
    count('refused')
    return { 'FULL', depth, 0, max or nil }
  end
end
if due <= now then
  depth = redis.call(ARGV[1] == '1' and 'LPUSH' or 'RPUSH', ready, envelope)
  if locks then redis.call('DEL', pending) end
else
  scheduled_as(schedule(envelope, due), due)
end
if locks and ARGV[7] == 'until' then
  redis.call('SET', lock, id)
elseif locks then
  redis.call('SET', lock, id, 'PX', ARGV[7])
end
come_as(id)
if keeps then
  redis.call('DEL', KEYS[9])
  redis.call('HSET', KEYS[9], 'state', due > now and 'scheduled' or 'ready',
    'type', ARGV[11], 'created_at', ARGV[12])
  if due > now then
    redis.call('HSET', KEYS[9], 'due_at', string.format('%.0f', due))
  end
  redis.call('PEXPIRE', KEYS[9], 7776000000)
end
count('pushed')
return { 'OK', depth }
