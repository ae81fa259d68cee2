-- note: tell the news of jobs that a lane runs.
-- KEYS 1 leases (zset)
--      2... for each note the hash of the job and the lock of its unique key
--      (string), or any other keys of the queue in the place of those that it
--      does not touch
-- ARGV 1 lane id
--      2... for each note: id whose lock ends, "" for none; for how many ms
--      the news are kept, "0" for none; ms since the job started, "" if that
--      is no news; n; n names and values
-- Returns { "OK" }, or { "FENCED" } without a lease.
-- A job that starts leaves behind what was said of its earlier attempts. A key
-- of another type is passed over: what runs does not depend on it.
local i, t = 2, redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

redis.call('ZREM', KEYS[1], '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return { 'FENCED' } end
if #KEYS % 2 ~= 1 or #KEYS > 2001 then
  return redis.error_reply('ERR note takes at most 1000 jobs, two keys each')
end

for j = 2, #KEYS, 2 do
  local id, ttl, age = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local news, lock, n = KEYS[j], KEYS[j + 1], tonumber(ARGV[i + 3])
  if ttl ~= '0' then
    if age ~= '' then
      redis.pcall('HDEL', news, 'due_at', 'progress', 'message', 'result',
        'error', 'exit', 'cpu_ms', 'peak_rss', 'ended_at')
      redis.pcall('HSET', news, 'started_at', string.format('%.0f', now - age))
    end
    if n > 0 then redis.pcall('HSET', news, unpack(ARGV, i + 4, i + 3 + n)) end
    redis.pcall('PEXPIRE', news, ttl)
  end
  -- What is no text is nobody's lock.
  if id ~= '' and redis.pcall('GET', lock) == id then redis.call('DEL', lock) end
  i = i + 4 + n
end
return { 'OK' }
