-- rebind: go on under a new id after a lost connection.
-- KEYS 1 leases (zset)  2 lanes (hash)  3 reaped (zset)  4 config (hash)
--      5 active list of the old id  6 active list of the new id
-- ARGV 1 old lane id  2 new lane id  3 lease, ms  4 description of the lane,
--      which names the old id, so that it is of this pair only
-- Returns { "OK", now, settles that have run since the lane was registered,
-- envelopes of the active list... }, { "TAKEN" } if the new id was ever used,
-- or { "FENCED" } if the old one holds no lease.
-- Whatever was sent under the old id and has not run yet is refused from now
-- on; a BLMOVE that runs late lands in a list that reap's look empties.
-- May be sent again for the same pair of ids: it then only answers.
local leases, lanes, reaped, config = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local old, new = ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

if #new < 1 or #new > 127 then
  return redis.error_reply('ERR a lane id has 1 to 127 bytes, not ' .. #new)
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

-- The list alone does not tell whether a settle ran: its job may have gone, and
-- one of the same bytes have come.
local function answer()
  local settles = redis.call('HGET', lanes, new .. ':settles') or ''
  if #settles > 15 or not string.find(settles, '^%d+$') then settles = '0' end
  local reply = { 'OK', now, tonumber(settles) }
  for i, e in ipairs(redis.call('LRANGE', KEYS[6], 0, -1)) do
    reply[3 + i] = e -- Lua unpacks 8000 at most
  end
  return reply
end

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, old) then
  if redis.call('ZSCORE', leases, new)
    and redis.call('HGET', lanes, new) == ARGV[4] then
    return answer()
  end
  return { 'FENCED' }
end
if redis.call('ZSCORE', reaped, new) or redis.call('ZSCORE', leases, new)
  or redis.call('EXISTS', KEYS[6]) == 1 then
  return { 'TAKEN' }
end
-- A key of another type stops us here: RENAMENX would carry it along.
local jobs = redis.call('LLEN', KEYS[5])
redis.call('HLEN', lanes)
redis.call('HLEN', config)

redis.call('ZADD', leases, now + tonumber(ARGV[3]), new)
redis.call('HSET', lanes, new, ARGV[4])
local settles = redis.call('HGET', lanes, old .. ':settles')
if settles then redis.call('HSET', lanes, new .. ':settles', settles) end
if jobs > 0 then redis.call('RENAMENX', KEYS[5], KEYS[6]) end
redis.call('ZADD', reaped, now, old)
redis.call('ZREM', leases, old)
redis.call('HDEL', lanes, old, old .. ':settles', old .. ':version')
bump_lanes()
return answer()
