-- leave: end a lease in peace.
-- KEYS 1 leases (zset)  2 lanes (hash)  3 reaped (zset)  4 config (hash)
--      5 active (list)
-- ARGV 1 lane id
-- Returns { "OK", jobs left in the active list }, or { "FENCED" }.
-- The id goes to reaped: what lands in its list later is given back by reap.
local leases, lane = KEYS[1], ARGV[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, lane) then return { 'FENCED' } end
redis.call('ZADD', KEYS[3], now, lane)
redis.call('ZREM', leases, lane)
redis.call('HDEL', KEYS[2], lane)
redis.call('HINCRBY', KEYS[4], 'lanes_version', 1)
return { 'OK', redis.call('LLEN', KEYS[5]) }
