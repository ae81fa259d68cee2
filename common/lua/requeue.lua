-- requeue: put jobs of a sorted set into ready again, or into the outbox.
-- KEYS 1 source (zset): dead, retry or scheduled  2 ready or outbox (list)
--      3 stats (hash)  4 stats of the minute
--      5... for each job its lock (string), its news (hash) and its log
--      (list), or any other keys of the queue in the place of those that it
--      has not
-- ARGV 1 "ready" or "outbox"
--      2... for each job: member of the source, envelope to put, id that is
--      to hold the lock or "", "until" or the lock's ttl in ms, "1" if there
--      are news
-- Returns { "OK", moved, then of each that was not: its place from 0, and
-- "GONE" or the id that holds the lock }.
-- Moves: dead, retry, scheduled -> ready or outbox, to the tail. On its way
-- to another queue a job leaves its lock, its news and its log behind.
local source, target, away = KEYS[1], KEYS[2], ARGV[1] == 'outbox'
local of_dead = string.sub(source, -6) == '}:dead' -- which begin anew
local n, answer, seen, bytes = (#ARGV - 1) / 5, { 'OK', 0 }, {}, 0
local members, envelopes, places, locks = {}, {}, {}, {}

-- Who else than id has this lock. It is taken behind the move: it must not be
-- held for a job that is not there.
local function held(key, id)
  locks[key] = locks[key] or redis.call('GET', key) or id
  return locks[key] ~= id and locks[key]
end

redis.call('ZREM', source, '') -- harmless: maxmemory allows what follows
if n < 1 or n > 1000 or #KEYS ~= 4 + 3 * n then
  return redis.error_reply('ERR requeue takes 1 to 1000 jobs, not ' .. n)
end
redis.call('LLEN', target)
for j = 1, n do
  local a, k = 5 * j - 3, 2 + 3 * j
  bytes = bytes + #ARGV[a] + #ARGV[a + 1]
  if ARGV[a + 2] ~= '' then redis.call('GET', KEYS[k]) end
  if ARGV[a + 4] == '1' then redis.call('HLEN', KEYS[k + 1]) end
end
if n > 1 and bytes > 67108864 then
  return redis.error_reply('ERR requeue takes at most 64 MiB, not ' .. bytes)
end

bytes = 0
for j = 1, n do
  local a, why = 5 * j - 3, nil
  local member, id = ARGV[a], ARGV[a + 2]
  if seen[member] or not redis.call('ZSCORE', source, member) then
    why = 'GONE'
  elseif id ~= '' and not away then
    why = held(KEYS[2 + 3 * j], id)
  end
  if why then
    answer[#answer + 1] = j - 1
    answer[#answer + 1] = why
  else
    seen[member], bytes = true, bytes + #member
    members[#members + 1], places[#places + 1] = member, j
    envelopes[#envelopes + 1] = ARGV[a + 1]
  end
end
local moved = #members
if moved == 0 then return answer end

redis.call('RPUSH', target, unpack(envelopes))
for i = 1, moved do
  local a, k = 5 * places[i] - 3, 2 + 3 * places[i]
  local id, news = ARGV[a + 2], KEYS[k + 1]
  if away and id ~= '' and redis.call('GET', KEYS[k]) == id then
    redis.call('DEL', KEYS[k])
  elseif not away and id ~= '' and ARGV[a + 3] == 'until' then
    redis.call('SET', KEYS[k], id, 'NX')
  elseif not away and id ~= '' then
    redis.call('SET', KEYS[k], id, 'NX', 'PX', ARGV[a + 3])
  end
  if ARGV[a + 4] == '1' and away then
    redis.call('DEL', news, KEYS[k + 2])
  elseif ARGV[a + 4] == '1' then
    redis.call('HDEL', news, 'due_at', 'worker', 'lane', 'started_at',
      'ended_at', 'progress', 'message', 'result', 'error', 'exit', 'cpu_ms',
      'peak_rss')
    redis.call('HSET', news, 'state', 'ready')
    if of_dead then redis.call('HSET', news, 'attempt', 0) end
    redis.call('PEXPIRE', news, 7776000000)
    redis.call('PEXPIRE', KEYS[k + 2], 7776000000)
  end
end
redis.call('ZREM', source, unpack(members))

local counter = away and 'sent' or 'requeued'
if of_dead then
  redis.pcall('HINCRBY', KEYS[3], 'dead_bytes', -bytes)
end
redis.pcall('HINCRBY', KEYS[3], counter, moved)
if redis.pcall('HINCRBY', KEYS[4], counter, moved) == moved then
  redis.pcall('EXPIRE', KEYS[4], 86400)
end
answer[2] = moved
return answer
