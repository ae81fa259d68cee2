-- cancel: mark ids of jobs that are to be cancelled.
-- KEYS 1 cancelled (zset)  2 config (hash)
-- ARGV 1 name of the control channel  2... ids
-- Returns { "OK", how many marks there are }, or { "FULL", how many } when
-- there would be more than 10 000: then nothing was marked.
-- Marks of more than 7 days go first. The lane that holds such a job, or that
-- fetches it, ends it and takes the mark out (settle).
local cancelled, config = KEYS[1], KEYS[2]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local n, more = #ARGV - 1, 0

redis.call('ZREM', cancelled, '') -- harmless: maxmemory allows what follows
if n < 1 or n > 1000 then
  return redis.error_reply('ERR cancel takes 1 to 1000 ids, not ' .. n)
end
for i = 2, #ARGV do
  if not string.find(ARGV[i], '^[%w._:-]+$') or #ARGV[i] > 64 then
    return redis.error_reply('ERR cancel: no id of a job')
  end
end
redis.call('HLEN', config) -- a key of another type stops us here
redis.call('ZREMRANGEBYSCORE', cancelled, '-inf',
  string.format('(%.0f', now - 604800000))
for i = 2, #ARGV do
  if not redis.call('ZSCORE', cancelled, ARGV[i]) then more = more + 1 end
end
local there = redis.call('ZCARD', cancelled)
if there + more > 10000 then return { 'FULL', there } end

for i = 2, #ARGV do redis.call('ZADD', cancelled, now, ARGV[i]) end
if type(redis.pcall('HINCRBY', config, 'cancelled_version', 1)) == 'table' then
  redis.call('HSET', config, 'cancelled_version', 1)
end
redis.pcall('PUBLISH', ARGV[1], 'cancel')
return { 'OK', redis.call('ZCARD', cancelled) }
