-- tick: push the jobs of a cron entry that is due, and set when it is due next.
-- KEYS 1 cron (hash)  2 cron:due (zset)  3 ready (list)  4 stats (hash)
--      5 stats of the minute  6 the entry's lock (string)
--      7... hashes of the jobs, if news of them are kept
-- ARGV 1 name  2 the entry as the caller read it  3 the instant it was due
--      4 the next one, "" if none comes: the entry goes
--      5 the entry once these jobs are pushed: "" as it is, "-" it goes
--      6 "1" if nothing is to be pushed while the lock is held
--      7 type and 8 created_at of the jobs, for the news
--      9... id and envelope of up to 100 jobs, of one with "1"
-- Returns { "OK", pushed }, { "SKIPPED" } if the lock is held, or { "STALE" }
-- if the entry or its instant is another by now: somebody else was faster.
-- Moves: a cron entry -> ready. The instant is the claim: each is pushed once.
-- No harmless write comes first, so that it is refused at maxmemory.
local cron, due, ready, lock = KEYS[1], KEYS[2], KEYS[3], KEYS[6]
local name, entry, next_due = ARGV[1], ARGV[2], ARGV[4]
local skips = ARGV[6] == '1'
local n, keeps = (#ARGV - 8) / 2, #KEYS > 6

if n % 1 ~= 0 or n > (skips and 1 or 100) or (keeps and #KEYS ~= 6 + n) then
  return redis.error_reply('ERR tick takes at most 100 jobs, one with a lock')
end
local score = redis.call('ZSCORE', due, name)
if not score or tonumber(score) ~= tonumber(ARGV[3])
  or redis.call('HGET', cron, name) ~= entry then
  return { 'STALE' }
end
redis.call('LLEN', ready) -- keys of other types stop us here
for i = 7, #KEYS do redis.call('HLEN', KEYS[i]) end
local skipped = skips and n > 0 and redis.call('GET', lock)

local function count(counter, by)
  redis.pcall('HINCRBY', KEYS[4], counter, by)
  if redis.pcall('HINCRBY', KEYS[5], counter, by) == by then
    redis.pcall('EXPIRE', KEYS[5], 86400)
  end
end

local goes = next_due == ''
if n > 0 and not skipped then
  local jobs = {}
  for i = 1, n do
    jobs[i] = ARGV[8 + 2 * i]
  end
  redis.call('RPUSH', ready, unpack(jobs))
  if skips then
    redis.call('SET', lock, ARGV[9])
  end
  for i = 1, keeps and n or 0 do
    redis.call('DEL', KEYS[6 + i])
    redis.call('HSET', KEYS[6 + i], 'state', 'ready', 'type', ARGV[7],
      'created_at', ARGV[8])
    redis.call('PEXPIRE', KEYS[6 + i], 7776000000)
  end
  goes = goes or ARGV[5] == '-'
  if not goes and ARGV[5] ~= '' then
    redis.call('HSET', cron, name, ARGV[5])
  end
end
if goes then
  redis.call('ZREM', due, name)
  redis.call('HDEL', cron, name)
else
  redis.call('ZADD', due, next_due, name)
end

if skipped then
  count('tick_skipped', 1)
  return { 'SKIPPED' }
end
if n > 0 then
  count('ticked', n)
  count('pushed', n)
end
return { 'OK', n }
