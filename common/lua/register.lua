-- register: begin the lease of a lane.
-- KEYS 1 leases (zset)  2 lanes (hash)  3 reaped (zset)  4 config (hash)
--      5 active list of the lane
-- ARGV 1 lane id  2 lease, ms  3 description of the lane  4 format
-- Returns { "OK", now, config version, cancelled version, lanes version },
-- { "TAKEN" } if the id was ever used, { "FORMAT", n } if the queue is newer.
local leases, lanes, reaped, config = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lane, lease, format = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

if #lane < 1 or #lane > 127 then
  return redis.error_reply('ERR a lane id has 1 to 127 bytes, not ' .. #lane)
end
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
if redis.call('ZSCORE', reaped, lane) or redis.call('ZSCORE', leases, lane)
  or redis.call('EXISTS', KEYS[5]) == 1 then
  return { 'TAKEN' }
end
local current = redis.call('HGET', config, 'format') or '0'
if not tonumber(current) then
  return redis.error_reply('ERR config format is no number: ' .. current)
end
current = tonumber(current)
if current > format then
  return { 'FORMAT', current }
end
redis.call('HLEN', lanes) -- a key of another type stops us here

redis.call('HSETNX', config, 'format', format)
redis.call('HSET', lanes, lane, ARGV[3])
redis.call('ZADD', leases, now + lease, lane)
local version = bump_lanes()
local v = redis.call('HMGET', config, 'version', 'cancelled_version')
return { 'OK', now, tonumber(v[1] or '0') or 0,
  tonumber(v[2] or '0') or 0, version }
