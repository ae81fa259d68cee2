-- stamp: give a job of the active list an id and a fencing token.
-- KEYS 1 active (list)  2 leases (zset)  3 fence (integer)
-- ARGV 1 lane id  2 index in the active list  3 the bytes that are there
--      4 the bytes to put there ("" leaves them)
-- Returns { "OK", fence }, { "REFUSED" } if something else is at the index,
-- or { "FENCED" } without a lease.
-- For jobs that came by BLMOVE, which cannot stamp.
local active, leases = KEYS[1], KEYS[2]

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, ARGV[1]) then return { 'FENCED' } end
if redis.call('LINDEX', active, ARGV[2]) ~= ARGV[3] then
  return { 'REFUSED' }
end
if ARGV[4] ~= '' then redis.call('LSET', active, ARGV[2], ARGV[4]) end
local fence = redis.pcall('INCR', KEYS[3])
if type(fence) == 'table' then -- as in fetch
  fence = redis.call('TIME')[1] * 1000000
  redis.call('SET', KEYS[3], string.format('%.0f', fence))
end
return { 'OK', fence }
