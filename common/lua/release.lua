-- release: give jobs back that did not run, attempt not counted.
-- KEYS 1 active (list)  2 leases (zset)  3 ready (list)  4 stats (hash)
--      5 stats of the minute
-- ARGV 1 lane id  2... references as in settle, in the order of the list
-- Returns { "OK", how many }, { "REFUSED" } if one is not there, or
-- { "FENCED" } without a lease.
-- Moves: active -> ready, to the head, in the same order. Of equal jobs the last
-- ones go: what did not run is at the end, where Redis finds it at once.
local active, leases, ready = KEYS[1], KEYS[2], KEYS[3]

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, ARGV[1]) then return { 'FENCED' } end
if #ARGV < 2 or #ARGV > 1001 then
  return redis.error_reply('ERR release takes 1 to 1000 jobs')
end
local values = {}
for i = 2, #ARGV do
  local e = string.sub(ARGV[i], 2)
  if string.sub(ARGV[i], 1, 1) == 's' then
    local index, sha = string.match(e, '^(%d+):(%x+)$')
    e = index and redis.call('LINDEX', active, index)
    if not e or redis.sha1hex(e) ~= sha then return { 'REFUSED' } end
  elseif not redis.call('LPOS', active, e, 'RANK', -1) then
    return { 'REFUSED' }
  end
  values[#ARGV + 1 - i] = e -- reversed: LPUSH puts the last one first
end

redis.call('LPUSH', ready, unpack(values))
local state = 'OK'
for _, e in ipairs(values) do
  if redis.call('LREM', active, -1, e) == 0 then state = 'REFUSED' end
end
redis.pcall('HINCRBY', KEYS[4], 'released', #values)
if redis.pcall('HINCRBY', KEYS[5], 'released', #values) == #values then
  redis.pcall('EXPIRE', KEYS[5], 86400)
end
return { state, #values }
