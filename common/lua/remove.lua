-- remove: take jobs out of a sorted set for good.
-- KEYS 1 source (zset): dead, retry or scheduled  2 stats (hash)
--      3 stats of the minute  4 cancelled (zset)
--      5... for each job its lock (string), its news (hash) and its log
--      (list), or any other keys of the queue in the place of those that it
--      has not
-- ARGV 1 "cancelled" or "removed"
--      2... for each job: member of the source, its id or "", for how many
--      ms its end is kept or "0"
-- Returns { "OK", removed }.
-- Moves: dead, retry, scheduled -> gone. Its lock ends, and a mark to cancel
-- it; the news say that it is cancelled, or go too, with the log.
local source, cancelled, verb = KEYS[1], KEYS[4], ARGV[1]
local n, removed, gone, bytes = (#ARGV - 1) / 3, 0, 0, 0
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))

redis.call('ZREM', source, '') -- harmless: maxmemory allows what follows
if n < 1 or n > 1000 or #KEYS ~= 4 + 3 * n then
  return redis.error_reply('ERR remove takes 1 to 1000 jobs, not ' .. n)
end
redis.call('ZCARD', cancelled)
for j = 1, n do
  bytes = bytes + #ARGV[3 * j - 1]
  if ARGV[3 * j + 1] ~= '0' then redis.call('HLEN', KEYS[3 + 3 * j]) end
end
if n > 1 and bytes > 67108864 then
  return redis.error_reply('ERR remove takes at most 64 MiB, not ' .. bytes)
end

for j = 1, n do
  local member, id, keep = ARGV[3 * j - 1], ARGV[3 * j], ARGV[3 * j + 1]
  local held, news, log = KEYS[2 + 3 * j], KEYS[3 + 3 * j], KEYS[4 + 3 * j]
  if redis.call('ZSCORE', source, member) then
    if id ~= '' then
      -- What is no text is nobody's lock.
      if held ~= KEYS[2] and redis.pcall('GET', held) == id then
        redis.call('DEL', held)
      end
      redis.call('ZREM', cancelled, id)
    end
    if keep ~= '0' and verb == 'cancelled' then
      redis.call('HDEL', news, 'result', 'error', 'exit')
      redis.call('HSET', news, 'state', verb, 'ended_at', now)
      redis.call('PEXPIRE', news, keep)
      redis.call('PEXPIRE', log, keep)
    elseif keep ~= '0' then
      redis.call('DEL', news, log)
    end
    redis.call('ZREM', source, member)
    removed, gone = removed + 1, gone + #member
    if keep ~= '0' then redis.pcall('PUBLISH', news, verb) end
  end
end

if removed > 0 then
  if string.sub(source, -6) == '}:dead' then
    redis.pcall('HINCRBY', KEYS[2], 'dead_bytes', -gone)
  end
  redis.pcall('HINCRBY', KEYS[2], verb, removed)
  if redis.pcall('HINCRBY', KEYS[3], verb, removed) == removed then
    redis.pcall('EXPIRE', KEYS[3], 86400)
  end
end
return { 'OK', removed }
