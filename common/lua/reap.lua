-- reap: give back the jobs of a lane that is dead.
-- KEYS 1 leases (zset)  2 lanes (hash)  3 reaped (zset)  4 config (hash)
--      5 active list of that lane  6 ready (list)  7 stats (hash)
--      8 stats of the minute
-- ARGV 1 id of that lane
--      2 "expired": if its lease ran out; "gone": its process is known to
--        have ended; "rest": what a call before this one had to leave;
--        "straggler": its lease was ended before
--      3 max bytes
-- Returns { "OK", moved, left }, { "ALIVE", ms left }, { "NONE" } if it has no
-- lease ("straggler": if it is not in reaped), or { "FORGOTTEN" }.
-- Moves: active -> ready, to the head, in the old order. The time is noted in
-- each job except by "straggler", which finds what never ran.
local leases, lanes, reaped, config = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local active, ready, lane, mode = KEYS[5], KEYS[6], ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- {"recovered":[newest, ...], in front; at most a dozen times are kept, each
-- of 13 digits and a comma.
local function noted(e)
  local list, rest = string.match(e, '^{"recovered":%[([%d,]*)%](.*)$')
  if list then
    local cut = string.find(list, ',', 11 * 14, true)
    if cut then list = string.sub(list, 1, cut - 1) end
    if list ~= '' then list = ',' .. list end
    return string.format('{"recovered":[%.0f', now) .. list .. ']' .. rest
  end
  local _, brace = string.find(e, '^%s*{%s*')
  if not brace or string.sub(e, brace + 1, brace + 1) == '}' then return e end
  return string.format('{"recovered":[%.0f],', now) .. string.sub(e, brace + 1)
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
redis.call('LLEN', ready) -- a key of another type stops us here, and not when
redis.call('HLEN', lanes) -- the lease has ended and nothing is noted
redis.call('HLEN', config)
redis.call('ZCARD', reaped)
local lease_end = redis.call('ZSCORE', leases, lane)
if mode == 'straggler' or mode == 'rest' then
  local since = redis.call('ZSCORE', reaped, lane)
  if lease_end then return { 'ALIVE', 0 } end
  if not since then return { 'NONE' } end
  if redis.call('EXISTS', active) == 0 then
    if now - tonumber(since) <= 86400000 then return { 'OK', 0, 0 } end
    redis.call('ZREM', reaped, lane)
    return { 'FORGOTTEN' }
  end
else
  if not lease_end then return { 'NONE' } end
  if mode ~= 'gone' and tonumber(lease_end) > now then
    return { 'ALIVE', tonumber(lease_end) - now }
  end
  redis.call('ZADD', reaped, now, lane)
  redis.call('ZREM', leases, lane)
  redis.call('HDEL', lanes, lane, lane .. ':settles',
    lane .. ':version')
  bump_lanes()
end

-- Something foreign in the place of the list holds no job; the lease ends all
-- the same, since it would hide those of all lanes that died later.
local kind = redis.call('TYPE', active)['ok']
if kind ~= 'list' and kind ~= 'none' then return { 'OK', 0, 0 } end

-- From the end, one by one: each goes in front of those behind it.
local moved, bytes = 0, 0
while moved < 1000 and (moved == 0 or bytes < tonumber(ARGV[3])) do
  local e = redis.call('LINDEX', active, -1)
  if not e then break end
  bytes = bytes + #e
  redis.call('LPUSH', ready, mode == 'straggler' and e or noted(e))
  redis.call('RPOP', active)
  moved = moved + 1
end
if moved > 0 then
  local field = mode == 'straggler' and 'straggled' or 'reaped'
  redis.pcall('HINCRBY', KEYS[7], field, moved)
  if redis.pcall('HINCRBY', KEYS[8], field, moved) == moved then
    redis.pcall('EXPIRE', KEYS[8], 86400)
  end
end
return { 'OK', moved, redis.call('LLEN', active) }
