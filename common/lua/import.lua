-- import: put envelopes of dead jobs among the dead.
-- KEYS 1 dead (zset)  2 stats (hash)
-- ARGV for each job: time of death in ms, envelope
-- Returns { "OK", added }: those that were not there yet, byte for byte.
-- Moves: producer -> dead. Like push it is refused at maxmemory. The next
-- settle that adds to dead keeps its bounds.
local n, added, bytes = #ARGV / 2, 0, 0

if n < 1 or n > 1000 or n % 1 ~= 0 then
  return redis.error_reply('ERR import takes 1 to 1000 jobs, not ' .. n)
end
for i = 2, #ARGV, 2 do
  bytes = bytes + #ARGV[i]
end
if n > 1 and bytes > 67108864 then
  return redis.error_reply('ERR import takes at most 64 MiB, not ' .. bytes)
end

bytes = 0
for i = 1, #ARGV, 2 do
  if redis.call('ZADD', KEYS[1], 'NX', ARGV[i], ARGV[i + 1]) == 1 then
    added, bytes = added + 1, bytes + #ARGV[i + 1]
  end
end
redis.pcall('HINCRBY', KEYS[2], 'dead_bytes', bytes)
return { 'OK', added }
