-- renew: prolong the lease of a lane, and tell what it should look at.
-- KEYS 1 leases (zset)  2 active (list)  3 config (hash)  4 ready (list)
--      5 scheduled (zset)  6 retry (zset)  7 lanes (hash)
--      8 cron:due (zset)  9 outbox (list)
-- ARGV 1 lane id  2 lease, ms  3 version of config that the lane complies
--      with, or -1
-- Returns { "OK", now, length of active, config version, cancelled version,
-- lanes version, paused (0 or 1), length of ready, ms until the next scheduled
-- or retried job is due or -1, lane whose lease ends first, ms until then, ms
-- until the pause ends or -1, ms until a cron entry is due or -1, length of
-- outbox }, or { "FENCED" }.
local leases, config, lane = KEYS[1], KEYS[3], ARGV[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function first_due(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if not first[2] then return -1 end
  return math.max(0, math.ceil(tonumber(first[2]) - now))
end

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, lane) then return { 'FENCED' } end
redis.call('ZADD', leases, 'XX', now + tonumber(ARGV[2]), lane)
if tonumber(ARGV[3]) >= 0 then
  redis.call('HSET', KEYS[7], lane .. ':version', ARGV[3])
end

local due, retry_due = first_due(KEYS[5]), first_due(KEYS[6])
if due < 0 or (retry_due >= 0 and retry_due < due) then due = retry_due end
local oldest = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
-- No lane: such a name would hide all others.
while oldest[1] and (#oldest[1] > 127 or string.find(oldest[1], '%z')) do
  redis.call('ZREM', leases, oldest[1])
  oldest = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
end
local v = redis.call('HMGET', config, 'version', 'cancelled_version',
  'lanes_version', 'paused')
v[4] = string.match(v[4] or '', '^%d+$')
for i = 1, 4 do v[i] = tonumber(v[i] or '0') or 0 end
local left = v[4] > now and math.min(v[4] - now, 2 ^ 53) or -1
local paused = (v[4] == 1 or left > 0) and 1 or 0
return { 'OK', now, redis.call('LLEN', KEYS[2]), v[1], v[2], v[3], paused,
  redis.call('LLEN', KEYS[4]), due, oldest[1] or '',
  tonumber(oldest[2] or now) - now, left, first_due(KEYS[8]),
  redis.call('LLEN', KEYS[9]) }
