-- log: append lines to the logs of jobs that a lane runs.
-- KEYS 1 leases (zset)
--      2... for each job its log (list) and its news (hash)
-- ARGV 1 lane id  2 most lines of a log  3 most bytes of it
--      4... for each job: its run, a name that no other run has; for how many
--      ms its news are kept; the number of the first line among those of the
--      run; n; n lines, JSON objects without the brace in front
-- Returns { "OK" }, or { "FENCED" } without a lease.
-- Each line gets {"n":<number in the log> in front. What is there already is
-- not appended again, the oldest go, and the log ends with the news. Keys of
-- another type are passed over: what runs does not depend on them.
local i, max, max_bytes = 4, tonumber(ARGV[2]), tonumber(ARGV[3])

-- The newest of the n lines from ARGV[at] on, but for the first skip, that fit
-- into a log; the first of these is the base + 1st. All of them, and their bytes.
local function newest(at, n, skip, base)
  local back, bytes = {}, 0
  while n > skip and #back < max do
    local e = string.format('{"n":%.0f,', base + n) .. ARGV[at + n - 1]
    if #back > 0 and bytes + #e > max_bytes then break end
    back[#back + 1], bytes, n = e, bytes + #e, n - 1
  end
  local lines = {}
  for j = #back, 1, -1 do lines[#lines + 1] = back[j] end
  return lines, bytes, n > skip
end

local function append(log, news, run, ttl, first, n, at)
  local h = redis.pcall('HMGET', news, 'log_run', 'log_lines', 'log_bytes')
  local len = redis.pcall('LLEN', log)
  if h.err or type(len) == 'table' then return end
  local last, bytes = tonumber(h[2] or ''), tonumber(h[3] or '')
  if not last or not bytes then -- the log of an older job, or none
    redis.call('DEL', log)
    h[1], last, bytes, len = '', 0, 0, 0
  end
  local who, base = string.match(h[1] or '', '^(.*):(%d+)$')
  base = who == run and tonumber(base) or last
  local skip = math.max(0, last - (base + first - 1))
  if skip >= n then return end
  local lines, more, full = newest(at, n, skip, base + first - 1)
  if full then
    redis.call('DEL', log)
    bytes, len = 0, 0
  end
  while len > 0 and (len + #lines > max or bytes + more > max_bytes) do
    for _, e in ipairs(redis.call('LPOP', log,
      math.max(1, len + #lines - max))) do
      bytes, len = bytes - #e, len - 1
    end
  end
  last = base + first - 1 + n
  redis.call('HSET', news, 'log_run', string.format('%s:%.0f', run, base),
    'log_lines', string.format('%.0f', last),
    'log_bytes', string.format('%.0f', bytes + more))
  redis.call('RPUSH', log, unpack(lines))
  local left = redis.call('PTTL', news)
  if left < 0 then
    redis.call('PEXPIRE', news, ttl)
    left = ttl
  end
  redis.call('PEXPIRE', log, left)
  redis.pcall('PUBLISH', log, string.format('%.0f', last))
end

if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return { 'FENCED' } end
if #KEYS % 2 ~= 1 or #KEYS > 2001 or max > 1000 then
  return redis.error_reply('ERR log takes at most 1000 jobs, two keys each')
end
redis.call('ZADD', KEYS[1], 'XX', 0, '') -- nothing; but maxmemory forbids it
for j = 2, #KEYS, 2 do
  local n = tonumber(ARGV[i + 3])
  append(KEYS[j], KEYS[j + 1], ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), n,
    i + 4)
  i = i + 4 + n
end
return { 'OK' }
