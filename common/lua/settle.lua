-- settle: tell how jobs of a lane ended, and take them off its active list.
-- KEYS 1 active (list)  2 leases (zset)  3 retry (zset)  4 dead (zset)
--      5 config (hash)  6 stats (hash)  7 stats of the minute
--      8 lanes (hash)   9... hashes of kept jobs, one for each "keep"
-- ARGV 1 lane id
--      2 c: how many jobs from the front are settled cumulatively
--      3 reference of the last of them, "" if c is 0
--      4 s: number of selective settles   5 a: number of adds
--      6 k: number of keeps               7 x: number of counters
--      s references; a times (set, delay in ms, envelope), set "retry" or
--      "dead"; k times (ttl in ms, number of fields and values, those...);
--      x times (counter, n)
-- A reference is "v" and the bytes of the job, or, above 1 KiB, "s", the
-- index before the call, ":" and the SHA-1 of the bytes.
-- Returns { "OK", now }, { "REFUSED" } if the list is not as the lane
-- believes, or { "FENCED" } without a lease.
-- Moves: active -> gone, retry or dead.
local active, leases, retry, dead, config, lanes = KEYS[1], KEYS[2], KEYS[3],
  KEYS[4], KEYS[5], KEYS[8]
local c, s, a = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])
local k, x = tonumber(ARGV[6]), tonumber(ARGV[7])
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
local function bound_dead(added)
  local l = redis.pcall('HMGET', config, 'dead_max', 'dead_max_age',
    'dead_max_bytes') -- the jobs have ended: bounds cannot undo that
  local max, age = number(l[1], 100000), number(l[2], 7776000000)
  local max_bytes = number(l[3], 268435456)
  local function count(n)
    local sum = redis.pcall('HINCRBY', KEYS[6], 'dead_bytes', n)
    return type(sum) == 'number' and sum or 0
  end
  local bytes = count(added)
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
if c > 1000 or s > 1000 or a > 1000 then
  return redis.error_reply('ERR settle takes at most 1000 jobs')
end
if c > 0 then
  local last, at = resolve(ARGV[3]), string.match(ARGV[3], '^s(%d+):')
  if not last or (at and tonumber(at) ~= c - 1)
    or (not at and redis.call('LINDEX', active, c - 1) ~= last) then
    return { 'REFUSED' }
  end
end
local values, i = {}, 8
for j = 1, s do
  values[j] = resolve(ARGV[i])
  if not values[j] or (a > 0
    and not redis.call('LPOS', active, values[j])) then
    return { 'REFUSED' }
  end
  i = i + 1
end
-- A key of another type stops us here: a lane tries again and again, and what
-- was added before would be there as often.
redis.call('LLEN', active)
redis.call('HLEN', lanes)
if a > 0 then
  redis.call('ZCARD', retry)
  redis.call('ZCARD', dead)
end
for j = 1, k do redis.call('HLEN', KEYS[8 + j]) end

local adds, dead_bytes = i, 0
i = i + 3 * a
for j = 1, k do
  local fields = tonumber(ARGV[i + 1])
  redis.call('HDEL', KEYS[8 + j], 'result', 'error') -- of an earlier end
  redis.call('HSET', KEYS[8 + j], unpack(ARGV, i + 2, i + 1 + fields))
  redis.call('PEXPIRE', KEYS[8 + j], ARGV[i])
  i = i + 2 + fields
end
for j = adds, adds + 3 * a - 1, 3 do
  if ARGV[j] == 'dead' then
    dead_bytes = dead_bytes + add(dead, now, ARGV[j + 2])
  else
    add(retry, now + tonumber(ARGV[j + 1]), ARGV[j + 2])
  end
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

if dead_bytes > 0 then bound_dead(dead_bytes) end
for _ = 1, x do
  local n = tonumber(ARGV[i + 1])
  redis.pcall('HINCRBY', KEYS[6], ARGV[i], n)
  if redis.pcall('HINCRBY', KEYS[7], ARGV[i], n) == n then
    redis.pcall('EXPIRE', KEYS[7], 86400)
  end
  i = i + 2
end
return { state, now }
