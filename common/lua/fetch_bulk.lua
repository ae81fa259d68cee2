-- fetch_bulk: fetch, with the envelopes moved inside Redis, unseen by Lua.
-- KEYS 1 ready (list)  2 active (list)  3 leases (zset)  4 config (hash)
--      5 fence (integer)
-- ARGV 1 lane id  2 max jobs  3 max bytes, roughly
--      4 how many jobs the lane believes to be in active
-- Returns { "MORE" or "EMPTY", fence of the first job, how many came, 1 if
-- they were bigger than they looked, cancelled version }: they are the last
-- ones of active; { "NO" }: use fetch; { "PAUSED" }, or { "FENCED" } without a lease.
-- Moves: ready -> active. Jobs without id come as they are.
--
-- Most of what a script costs is that each envelope becomes a Lua string, all
-- of whose bytes are hashed. SORT ... STORE copies a part of a list without
-- that, but in place of what was there: so the few jobs that active still has
-- go to the head of ready first, and come back in front of the others. If the
-- script is stopped between any two steps no job is missing.
local ready, active, leases, config = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local n, max_bytes = math.min(tonumber(ARGV[2]), 1000), tonumber(ARGV[3])

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, ARGV[1]) then return { 'FENCED' } end
local told = redis.call('HMGET', config, 'paused', 'cancelled_version')
local cancelled = tonumber(told[2] or '0') or 0
local paused = tonumber(string.match(told[1] or '', '^%d+$') or '0')
if paused == 1 then return { 'PAUSED' } end
if paused > 1 then -- until an instant
  local t = redis.call('TIME')
  if paused > t[1] * 1000 + math.floor(t[2] / 1000) then
    return { 'PAUSED' }
  end
end

local held, waiting = redis.call('LLEN', active), redis.call('LLEN', ready)
if waiting == 0 then return { 'EMPTY', 0, 0, 0, cancelled } end
if held ~= tonumber(ARGV[4]) then return { 'NO' } end

-- The first 64 nodes of a list (512 KiB of small envelopes) tell how big its
-- elements are, and sixteen of those that would come whether they are alike:
-- Redis must not copy hundreds of megabytes. All nodes of what was copied tell
-- it exactly.
local used = redis.pcall('MEMORY', 'USAGE', ready, 'SAMPLES', 64)
if type(used) ~= 'number' then return { 'NO' } end
n = math.min(n, waiting, math.floor(max_bytes * waiting / used))
if n < 2 * held or n < 1 then return { 'NO' } end
local seen = 0
for i = 0, 15 do
  seen = seen + #redis.call('LINDEX', ready, math.floor(i * (n - 1) / 15))
end
if n * seen / 16 > 2 * max_bytes then return { 'NO' } end

if held > 0 then
  local jobs, back = redis.call('LRANGE', active, 0, -1), {}
  for i = held, 1, -1 do back[#back + 1] = jobs[i] end
  redis.call('LPUSH', ready, unpack(back))
end
local all = redis.pcall('SORT', ready, 'BY', 'nosort', 'LIMIT', 0, held + n,
  'STORE', active)
if type(all) ~= 'number' then -- it may not be allowed to us
  if held > 0 then redis.call('LTRIM', ready, held, -1) end
  return { 'NO' }
end
local bigger = 0
used = redis.pcall('MEMORY', 'USAGE', active, 'SAMPLES', 0)
while type(used) == 'number' and used > 2 * max_bytes and all > held + 1 do
  all, bigger = held + math.ceil((all - held) / 2), 1
  redis.call('LTRIM', active, 0, all - 1)
  used = redis.pcall('MEMORY', 'USAGE', active, 'SAMPLES', 0)
end
redis.call('LTRIM', ready, all, -1)

local came = all - held
local last = redis.pcall('INCRBY', KEYS[5], came)
if type(last) == 'table' then -- not ours any more: tokens must go on growing
  last = redis.call('TIME')[1] * 1000000 + came
  redis.call('SET', KEYS[5], string.format('%.0f', last))
end
local more = redis.call('EXISTS', ready) == 1 and 'MORE' or 'EMPTY'
return { more, last - came + 1, came, bigger, cancelled }
