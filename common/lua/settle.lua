-- settle: tell how jobs of a lane ended, and take them off its active list.
-- KEYS 1 active (list)  2 leases (zset)  3 retry (zset)  4 dead (zset)
--      5 config (hash)  6 stats (hash)  7 stats of the minute
--      8 lanes (hash)  9 ready (list)  10 scheduled (zset)  11 outbox (list)
--      12 cancelled (zset)  13... hashes of kept jobs, or their logs (list),
--      one for each "keep", then locks, one for each "unlock"
-- ARGV 1 lane id
--      2 c: how many jobs from the front are settled cumulatively
--      3 reference of the last of them, "" if c is 0
--      4 s: number of selective settles   5 a: number of adds
--      6 k: number of keeps               7 x: number of counters
--      8 u: number of unlocks             9 m: number of marks
--      s references; a times (where, delay in ms, envelope), where is "retry",
--      "dead", "scheduled", "ready" or "outbox"; k times (ttl in ms, state to
--      be published or "", number of fields and values, those..., or 0 of a
--      log, which expires when its news do); u times the
--      id that holds the lock; m times an id that goes from cancelled; x times
--      (counter, n)
-- A reference is "v" and the bytes of the job, or, above 1 KiB, "s", the
-- index before the call, ":" and the SHA-1 of the bytes.
-- Returns { "OK", now }, { "REFUSED" } if the list is not as the lane
-- believes, or { "FENCED" } without a lease.
-- Moves: active -> gone, retry, scheduled or dead; what follows -> ready,
-- outbox.
local active, leases, config, lanes = KEYS[1], KEYS[2], KEYS[5], KEYS[8]
local dead, cancelled = KEYS[4], KEYS[12]
local sets = { retry = KEYS[3], dead = dead, scheduled = KEYS[10] }
local lists = { ready = KEYS[9], outbox = KEYS[11] }
local c, s, a = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])
local k, x = tonumber(ARGV[6]), tonumber(ARGV[7])
local u, m = tonumber(ARGV[8]), tonumber(ARGV[9])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- The bytes that a reference names, or false if they are not there.
local function resolve(ref)
  if string.sub(ref, 1, 1) == 'v' then return string.sub(ref, 2) end
  local index, sha = string.match(ref, '^s(%d+):(%x+)$')
  local e = index and redis.call('LINDEX', active, index)
  return e and redis.sha1hex(e) == sha and e
end

-- Adds without ever falling together with an equal member: white space behind
-- an envelope changes nothing for its readers. It spells a number that grows
-- with time, so that one more of many equal ones takes one more try.
local blank = (t[1] % 1000) * 1000000 + t[2]
local function add(set, score, e)
  local member = e
  while redis.call('ZADD', set, 'NX', score, member) == 0 do
    blank = blank + 1
    local tail, n = {}, blank
    while n > 0 do
      tail[#tail + 1] = n % 2 == 0 and ' ' or '\t'
      n = math.floor(n / 2)
    end
    member = e .. table.concat(tail)
  end
  return #member
end

local function number(text, default)
  local n = tonumber(text or '')
  return n and n == n and n or default
end

-- Oldest first, until dead is within its bounds; the newest one stays. Only
-- what goes is read: a member may have a hundred megabytes.
local function bound_dead(added, deaths)
  local l = redis.pcall('HMGET', config, 'dead_max', 'dead_max_age',
    'dead_max_bytes') -- the jobs have ended: bounds cannot undo that
  local max, age = number(l[1], 100000), number(l[2], 7776000000)
  local max_bytes = number(l[3], 268435456)
  local function count(n)
    local sum = redis.pcall('HINCRBY', KEYS[6], 'dead_bytes', n)
    return type(sum) == 'number' and sum or 0
  end
  local bytes = count(added)
  -- Those are all: whoever emptied dead by hand did not take their bytes off.
  if bytes ~= added and redis.call('ZCARD', dead) == deaths then
    bytes = count(added - bytes)
  end
  for _ = 1, 100 do
    local n = redis.call('ZCARD', dead)
    if n <= 1 or (n <= max and bytes <= max_bytes and redis.call('ZCOUNT',
      dead, '-inf', string.format('(%.0f', now - age)) == 0) then
      return
    end
    local old = redis.call('ZPOPMIN', dead)
    bytes = count(-#old[1])
    redis.pcall('HINCRBY', KEYS[6], 'dead_evicted', 1)
  end
end

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, ARGV[1]) then return { 'FENCED' } end
if math.max(c, s, a, k / 2, u, m) > 1000 then
  return redis.error_reply('ERR settle takes at most 1000 jobs')
end
if c > 0 then
  local last, at = resolve(ARGV[3]), string.match(ARGV[3], '^s(%d+):')
  if not last or (at and tonumber(at) ~= c - 1)
    or (not at and redis.call('LINDEX', active, c - 1) ~= last) then
    return { 'REFUSED' }
  end
end
local values, i, more = {}, 10, a + k + u + m > 0
for j = 1, s do
  values[j] = resolve(ARGV[i])
  if not values[j] or (more
    and not redis.call('LPOS', active, values[j])) then
    return { 'REFUSED' }
  end
  i = i + 1
end
-- A key of another type stops us here: a lane tries again and again, and what
-- was added before would be there as often.
redis.call('LLEN', active)
redis.call('HLEN', lanes)
local adds, appends = i, {}
for j = adds, adds + 3 * a - 1, 3 do
  local where = ARGV[j]
  if not appends[where] then
    if sets[where] then
      redis.call('ZCARD', sets[where])
    elseif lists[where] then
      redis.call('LLEN', lists[where])
    else
      return redis.error_reply('ERR settle adds to no such place')
    end
    appends[where] = {}
  end
end

local dead_bytes, deaths = 0, 0
i = i + 3 * a
for j = 1, k do
  local key, n = KEYS[12 + j], tonumber(ARGV[i + 2])
  if n == 0 then redis.pcall('PEXPIRE', key, ARGV[i]) end -- a log
  -- What is no hash holds no news, and must not hold up all other jobs.
  if n > 0 and type(redis.pcall('HDEL', key, 'due_at', 'ended_at', 'progress', 'message',
    'result', 'error', 'exit', 'cpu_ms', 'peak_rss')) == 'number' then -- of earlier news
    redis.call('HSET', key, unpack(ARGV, i + 3, i + 2 + n))
    redis.call('PEXPIRE', key, ARGV[i])
  end
  -- Whoever waits for it reads the hash, which is there when this script ends.
  if ARGV[i + 1] ~= '' then redis.pcall('PUBLISH', key, ARGV[i + 1]) end
  i = i + 3 + n
end
for j = adds, adds + 3 * a - 1, 3 do
  local where, e = ARGV[j], ARGV[j + 2]
  if where == 'dead' then
    dead_bytes, deaths = dead_bytes + add(dead, now, e), deaths + 1
  elseif sets[where] then
    add(sets[where], now + tonumber(ARGV[j + 1]), e)
  else
    table.insert(appends[where], e)
  end
end
for where, key in pairs(lists) do
  local e = appends[where]
  if e then redis.call('RPUSH', key, unpack(e)) end
end

-- Rebind tells how many settles ran. Counted before anything is removed: a
-- script that stops between them has its jobs run again, and none is missed.
if type(redis.pcall('HINCRBY', lanes, ARGV[1] .. ':settles', 1)) == 'table' then
  redis.call('HSET', lanes, ARGV[1] .. ':settles', 1)
end
if c > 0 then redis.call('LTRIM', active, c, -1) end
local state = 'OK'
for j = 1, s do
  if redis.call('LREM', active, 1, values[j]) == 0 then state = 'REFUSED' end
end

-- Locks and marks of what has ended. A lock whose time is up may be another's
-- by now; what is no lock, or no set of marks, is not ours to mend.
for j = 1, u do
  if redis.pcall('GET', KEYS[12 + k + j]) == ARGV[i + j - 1] then
    redis.call('DEL', KEYS[12 + k + j])
  end
end
i = i + u
if m > 0 then
  local gone = redis.pcall('ZREM', cancelled, unpack(ARGV, i, i + m - 1))
  if type(gone) == 'number' and gone > 0 and type(redis.pcall('HINCRBY',
    config, 'cancelled_version', 1)) == 'table' then
    redis.pcall('HSET', config, 'cancelled_version', 1)
  end
end
i = i + m

if dead_bytes > 0 then bound_dead(dead_bytes, deaths) end
for _ = 1, x do
  local n = tonumber(ARGV[i + 1])
  redis.pcall('HINCRBY', KEYS[6], ARGV[i], n)
  if redis.pcall('HINCRBY', KEYS[7], ARGV[i], n) == n then
    redis.pcall('EXPIRE', KEYS[7], 86400)
  end
  i = i + 2
end
return { state, now }
