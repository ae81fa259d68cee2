-- renew: prolong the lease of a lane, and tell what it should look at.
-- KEYS 1 leases (zset)  2 active (list)  3 config (hash)  4 ready (list)
--      5 scheduled (zset)  6 retry (zset)
-- ARGV 1 lane id  2 lease, ms
-- Returns { "OK", now, length of active, config version, cancelled version,
-- lanes version, paused (0 or 1), length of ready, ms until the next scheduled
-- or retried job is due or -1, lane whose lease ends first, ms until then },
-- or { "FENCED" }.
local leases, config = KEYS[1], KEYS[3]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, ARGV[1]) then return { 'FENCED' } end
redis.call('ZADD', leases, 'XX', now + tonumber(ARGV[2]), ARGV[1])

local due = -1
for i = 5, 6 do
  local first = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, math.ceil(tonumber(first[2]) - now))
    if due < 0 or wait < due then due = wait end
  end
end
local oldest = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
-- No lane: such a name would hide all others.
while oldest[1] and (#oldest[1] > 127 or string.find(oldest[1], '%z')) do
  redis.call('ZREM', leases, oldest[1])
  oldest = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
end
local v = redis.call('HMGET', config, 'version', 'cancelled_version',
  'lanes_version', 'paused')
return { 'OK', now, redis.call('LLEN', KEYS[2]), tonumber(v[1] or '0') or 0,
  tonumber(v[2] or '0') or 0, tonumber(v[3] or '0') or 0, (v[4] and v[4] ~= '0') and 1 or 0,
  redis.call('LLEN', KEYS[4]), due, oldest[1] or '',
  tonumber(oldest[2] or now) - now }
