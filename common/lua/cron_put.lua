-- cron_put: write a cron entry, if it is still what the caller read.
-- KEYS 1 cron (hash)  2 cron:due (zset)
-- ARGV 1 name  2 the entry as the caller read it, "" for none
--      3 the new one, "" to remove it
--      4 the instant it is due, "" never (paused), "=" as it is
--      5 name of the control channel
-- Returns { "OK" } or { "STALE" } if there is another entry by now.
-- No harmless write comes first, so that it is refused at maxmemory, but for
-- removing.
local cron, due, name = KEYS[1], KEYS[2], ARGV[1]

if (redis.call('HGET', cron, name) or '') ~= ARGV[2] then
  return { 'STALE' }
end
redis.call('ZCARD', due) -- a key of another type stops us here
if ARGV[3] == '' then
  redis.call('ZREM', due, name)
  redis.call('HDEL', cron, name)
else
  if ARGV[3] ~= ARGV[2] then
    redis.call('HSET', cron, name, ARGV[3])
  end
  if ARGV[4] == '' then
    redis.call('ZREM', due, name)
  elseif ARGV[4] ~= '=' then
    redis.call('ZADD', due, ARGV[4], name)
  end
end
redis.pcall('PUBLISH', ARGV[5], 'cron')
return { 'OK' }
