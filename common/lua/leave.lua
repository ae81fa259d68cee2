-- leave: end a lease in peace.
-- KEYS 1 leases (zset)  2 lanes (hash)  3 reaped (zset)  4 config (hash)
--      5 active (list)
-- ARGV 1 lane id
-- Returns { "OK", jobs left in the active list }, or { "FENCED" }.
-- The id goes to reaped: what lands in its list later is given back by reap.
local leases, config, lane = KEYS[1], KEYS[4], ARGV[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- A version is only compared, so one that people broke begins anew.
local function bump_lanes()
  local v = redis.pcall('HINCRBY', config, 'lanes_version', 1)
  if type(v) == 'table' then
    redis.call('HSET', config, 'lanes_version', 1)
    v = 1
  end
  return v
end

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, lane) then return { 'FENCED' } end
local left = redis.call('LLEN', KEYS[5]) -- a key of another type stops us here
redis.call('HLEN', KEYS[2])
redis.call('HLEN', config)
redis.call('ZADD', KEYS[3], now, lane)
redis.call('ZREM', leases, lane)
redis.call('HDEL', KEYS[2], lane, lane .. ':settles', lane .. ':version')
bump_lanes()
return { 'OK', left }
