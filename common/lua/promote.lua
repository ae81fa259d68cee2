-- promote: move jobs that are due to the ready list.
-- KEYS 1 scheduled (zset)  2 retry (zset)  3 ready (list)  4 stats (hash)
--      5 stats of the minute
-- ARGV 1 max jobs of each set  2 max bytes of each set
-- Returns { moved, ms until the next one is due or -1, now }.
-- Moves: scheduled -> ready, retry -> ready, to the tail, earliest first.
local ready = KEYS[3]
local n, max_bytes = math.min(tonumber(ARGV[1]), 1000), tonumber(ARGV[2])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local moved, next_due = 0, -1

for _, set in ipairs({ KEYS[1], KEYS[2] }) do
  redis.call('ZREM', set, '') -- harmless: maxmemory allows what follows
  local jobs, bytes = {}, 0
  while #jobs < n and (#jobs == 0 or bytes < max_bytes) do
    local got = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', #jobs,
      math.min(16, n - #jobs))
    if #got == 0 then break end
    for i = 1, #got do
      bytes = bytes + #got[i]
      jobs[#jobs + 1] = got[i]
    end
  end
  if #jobs > 0 then
    redis.call('RPUSH', ready, unpack(jobs))
    redis.call('ZREM', set, unpack(jobs))
    moved = moved + #jobs
  end
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, math.ceil(tonumber(first[2]) - now))
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end

if moved > 0 then
  redis.pcall('HINCRBY', KEYS[4], 'promoted', moved)
  if redis.pcall('HINCRBY', KEYS[5], 'promoted', moved) == moved then
    redis.pcall('EXPIRE', KEYS[5], 86400)
  end
end
return { moved, next_due, now }
