-- purge: take the jobs at the head of the ready list away for good.
-- KEYS 1 ready (list)  2 stats (hash)  3 stats of the minute
--      4... for each job its lock (string), its news (hash) and its log
--      (list), or any other keys of the queue in the place of those that it
--      has not
-- ARGV 1 SHA-1 of the jobs that the caller has read, a newline behind each
--      2... for each of these the id that may hold the lock or "", and "1" if
--      there are news
-- Returns { "OK", purged }, or { "CHANGED" } if they are not the head of
-- ready any more.
-- Moves: ready -> gone. Locks end, news and logs.
local ready, n = KEYS[1], (#ARGV - 1) / 2

redis.call('LTRIM', ready, 0, -1) -- harmless: maxmemory allows what follows
if n < 1 or n > 1000 or #KEYS ~= 3 + 3 * n then
  return redis.error_reply('ERR purge takes 1 to 1000 jobs, not ' .. n)
end
local jobs = redis.call('LRANGE', ready, 0, n - 1)
jobs[#jobs + 1] = ''
if #jobs ~= n + 1
  or redis.sha1hex(table.concat(jobs, '\n')) ~= ARGV[1] then
  return { 'CHANGED' }
end
for j = 1, n do
  if ARGV[2 * j + 1] == '1' then redis.call('HLEN', KEYS[2 + 3 * j]) end
end

redis.call('LTRIM', ready, n, -1)
for j = 1, n do
  local id, lock, news = ARGV[2 * j], KEYS[1 + 3 * j], KEYS[2 + 3 * j]
  -- What is no text is nobody's lock.
  if id ~= '' and redis.pcall('GET', lock) == id then
    redis.call('DEL', lock)
  end
  if ARGV[2 * j + 1] == '1' then
    redis.call('DEL', news, KEYS[3 + 3 * j])
    redis.pcall('PUBLISH', news, 'removed')
  end
end
redis.pcall('HINCRBY', KEYS[2], 'purged', n)
if redis.pcall('HINCRBY', KEYS[3], 'purged', n) == n then
  redis.pcall('EXPIRE', KEYS[3], 86400)
end
return { 'OK', n }
