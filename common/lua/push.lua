-- push: put envelopes into the ready list.
-- KEYS 1 ready (list)  2 config (hash)  3 stats (hash)  4 stats of the minute
-- ARGV 1 "0" append, "1" put in front, "2" an RPUSH has appended them just
--        before, in the same transaction
--      2 format of the caller  3... envelopes, or with "2" how many, and
--        the first 256 bytes of the last
-- Returns { "OK", depth (0 if "2" may not ask) } or { "FORMAT", format of the queue }.
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
-- Only what is the caller's: the end is its, and an RPUSH is allowed, without
-- which it failed (jobs may be equal). The first write is for maxmemory.
local function take_back()
  local last = redis.call('LINDEX', ready, -1)
  if not last or last:sub(1, 256) ~= ARGV[4] then
    return false
  end
  redis.call('LTRIM', ready, 0, -1)
  if type(redis.pcall('RPUSH', ready, '')) ~= 'number' then
    return false
  end
  redis.call('LTRIM', ready, 0, -2 - n)
  return true
end
local current = redis.call('HGET', config, 'format') or format
if not tonumber(current) then
  return redis.error_reply('ERR config format is no number: ' .. current)
end
current = tonumber(current)
if current > format then
  if there and not take_back() then
    return redis.error_reply('ERR the RPUSH has not run, or not just before')
  end
  return { 'FORMAT', current }
end

local depth
if there then
  depth = redis.pcall('LLEN', ready)
  depth = type(depth) == 'number' and depth or 0 -- it may not be allowed
elseif front then
  local reversed = {}
  for i = 1, n do
    reversed[i] = ARGV[#ARGV + 1 - i]
  end
  depth = redis.call('LPUSH', ready, unpack(reversed))
else
  depth = redis.call('RPUSH', ready, unpack(ARGV, 3))
end

redis.pcall('HINCRBY', KEYS[3], 'pushed', n)
if redis.pcall('HINCRBY', KEYS[4], 'pushed', n) == n then
  redis.pcall('EXPIRE', KEYS[4], 86400)
end
return { 'OK', depth }
