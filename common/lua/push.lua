-- push: put envelopes into the ready list.
-- KEYS 1 ready (list)  2 config (hash)  3 stats (hash)  4 stats of the minute
-- ARGV 1 "0" append, "1" put in front, "2" an RPUSH has appended them just
--        before, in the same transaction
--      2 format of the caller  3... envelopes, or with "2" how many, and
--        the first 256 bytes of the last
-- Returns { "OK", depth (0 if "2" may not ask) }, { "FORMAT", format of the
-- queue } or { "FULL", depth, how many of the first were taken, max_length
-- (not there if it has none) }.
-- Moves: producer -> ready. With "1" the first envelope ends up first.
-- No harmless write comes first, so that it is refused at maxmemory.
local ready, config = KEYS[1], KEYS[2]
local front, there = ARGV[1] == '1', ARGV[1] == '2'
local format = tonumber(ARGV[2])
local n = there and tonumber(ARGV[3]) or #ARGV - 2

if n < 1 or n > 1000 then
  return redis.error_reply('ERR push takes 1 to 1000 envelopes, not ' .. n)
end
local bytes = 0
for i = 3, #ARGV do
  bytes = bytes + #ARGV[i]
end
if n > 1 and bytes > 67108864 then
  return redis.error_reply('ERR push takes at most 64 MiB, not ' .. bytes)
end
-- Takes back the last m. Only what is the caller's: the end is its, and an
-- RPUSH is allowed, without which it failed (jobs may be equal). The first
-- write is for maxmemory.
local function take_back(m)
  local last = redis.call('LINDEX', ready, -1)
  if not last or last:sub(1, 256) ~= ARGV[4] then
    return false
  end
  redis.call('LTRIM', ready, 0, -1)
  if type(redis.pcall('RPUSH', ready, '')) ~= 'number' then
    return false
  end
  redis.call('LTRIM', ready, 0, -2 - m)
  return true
end
-- The answer, once the envelopes that an RPUSH has put there are gone.
local function refuse(answer)
  if there and not take_back(n) then
    return redis.error_reply('ERR the RPUSH has not run, or not just before')
  end
  return answer
end
local function limit(text)
  local max = tonumber(text or '')
  return max and max >= 0 and max
end
local l = redis.call('HMGET', config, 'format', 'max_length', 'max_bytes')
local current = l[1] or format
if not tonumber(current) then
  return redis.error_reply('ERR config format is no number: ' .. current)
end
current = tonumber(current)
if current > format then
  return refuse({ 'FORMAT', current })
end

-- How many of the first find room, or false and the error that forbids to ask.
local function room()
  local max, max_bytes = limit(l[2]), limit(l[3])
  if not max and not max_bytes then return n end
  local waiting = redis.pcall('LLEN', ready)
  if type(waiting) ~= 'number' then return false, waiting end
  waiting = there and waiting - n or waiting
  local fits = max and math.max(0, math.min(n, max - waiting)) or n
  if not max_bytes or fits == 0 then return fits end
  local used = redis.pcall('MEMORY', 'USAGE', ready) or 0
  if type(used) ~= 'number' then
    return false, redis.error_reply('ERR max_bytes needs MEMORY USAGE: '
      .. used.err)
  end
  local least = waiting == 0 and 1 or 0 -- or one that is too big never goes
  if there then
    for i = n, 1, -1 do
      if i <= fits and (used <= max_bytes or i <= least) then return i end
      used = used - #(redis.call('LINDEX', ready, i - 1 - n) or '')
    end
    return 0
  end
  for i = 1, fits do
    used = used + #ARGV[2 + i]
    if used > max_bytes and i > least then return i - 1 end
  end
  return fits
end
local fits, why = room()
if not fits then return refuse(why) end

local depth = 0
if there then
  if fits < n and not take_back(n - fits) then
    return redis.error_reply('ERR the RPUSH has not run, or not just before')
  end
  depth = redis.pcall('LLEN', ready)
  depth = type(depth) == 'number' and depth or 0 -- it may not be allowed
elseif fits == 0 then
  depth = redis.call('LLEN', ready)
elseif front then
  local reversed = {}
  for i = 1, fits do
    reversed[i] = ARGV[3 + fits - i]
  end
  depth = redis.call('LPUSH', ready, unpack(reversed))
else
  depth = redis.call('RPUSH', ready, unpack(ARGV, 3, 2 + fits))
end

local function count(name, by)
  redis.pcall('HINCRBY', KEYS[3], name, by)
  if redis.pcall('HINCRBY', KEYS[4], name, by) == by then
    redis.pcall('EXPIRE', KEYS[4], 86400)
  end
end
if fits > 0 then count('pushed', fits) end
if fits == n then return { 'OK', depth } end
count('refused', n - fits)
return { 'FULL', depth, fits, limit(l[2]) or nil }
