-- fetch: move up to n jobs from the head of ready to a lane's active list.
-- KEYS 1 ready (list)  2 active (list)  3 leases (zset)  4 config (hash)
--      5 fence (integer)
-- ARGV 1 lane id  2 max jobs  3 max bytes (at least one job comes)
--      4 the first 23 characters of fresh ULIDs for jobs without id
-- Returns { "MORE" or "EMPTY", fence of the first job, cancelled version,
-- envelopes... }, { "PAUSED" }, or { "FENCED" } without a lease.
-- Moves: ready -> active, stamping jobs that have no id.
local ready, active, leases, config = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lane, prefix = ARGV[1], ARGV[4]
local n, max_bytes = math.min(tonumber(ARGV[2]), 1000), tonumber(ARGV[3])
local sub, find, byte = string.sub, string.find, string.byte
local budget = 20000 -- tokens that all scans of this call may look at

-- Whether the object has a member "id". Gives up with "no" when the budget is
-- spent: the job then gets one more id in front, and the first one counts.
local function has_id(e)
  if sub(e, 1, 7) == '{"id":"' then return true end
  if not find(e, '"id"', 1, true) then return false end
  local depth, pos = 0, 1
  while budget > 0 do
    budget = budget - 1
    local p = find(e, '["{}%[%]]', pos)
    if not p then return false end
    local c = byte(e, p)
    pos = p + 1
    if c == 123 or c == 91 then
      depth = depth + 1
    elseif c ~= 34 then
      depth = depth - 1
    else
      local q = find(e, '["\\]', pos)
      while q and byte(e, q) == 92 and budget > 0 do
        budget = budget - 1
        q = find(e, '["\\]', q + 2)
      end
      if not q then return false end
      if depth == 1 and q == p + 3 and sub(e, p, q) == '"id"'
        and find(e, '^%s*:', q + 1) then
        return true
      end
      pos = q + 1
    end
  end
  return false
end

-- Puts an id in front, behind "recovered" if reap has put that there.
local function stamped(e, i)
  local _, head = find(e, '^{"recovered":%[[%d,]*%],')
  local _, brace = find(e, '^%s*{%s*')
  if not brace or sub(e, brace + 1, brace + 1) == '}' then return e end
  local id = string.format('"id":"%s%03d",', prefix, i)
  if head then return sub(e, 1, head) .. id .. sub(e, head + 1) end
  return '{' .. id .. sub(e, brace + 1)
end

redis.call('ZREM', leases, '') -- harmless: from here on maxmemory allows us
if not redis.call('ZSCORE', leases, lane) then return { 'FENCED' } end
local told = redis.call('HMGET', config, 'paused', 'cancelled_version')
local cancelled = tonumber(told[2] or '0') or 0
local paused = tonumber(string.match(told[1] or '', '^%d+$') or '0')
if paused == 1 then return { 'PAUSED' } end
if paused > 1 then -- until an instant
  local t = redis.call('TIME')
  if paused > t[1] * 1000 + math.floor(t[2] / 1000) then
    return { 'PAUSED' }
  end
end

-- Read in steps that follow number and size met so far, so that big envelopes
-- are not read by the thousand only to be left where they are.
local jobs, bytes, step = {}, 0, 4
while #jobs < n do
  local want = math.min(step, n - #jobs)
  local got = redis.call('LRANGE', ready, #jobs, #jobs + want - 1)
  for i = 1, #got do
    if #jobs > 0 and bytes + #got[i] > max_bytes then
      want = 0
      break
    end
    bytes = bytes + #got[i]
    jobs[#jobs + 1] = got[i]
  end
  if want == 0 or #got < want then break end
  step = math.max(1, math.min(3 * #jobs,
    math.floor((max_bytes - bytes) * #jobs / bytes)))
end
if #jobs == 0 then return { 'EMPTY', 0, cancelled } end

for i = 1, #jobs do
  if not has_id(jobs[i]) then jobs[i] = stamped(jobs[i], i - 1) end
end
redis.call('RPUSH', active, unpack(jobs))
redis.call('LTRIM', ready, #jobs, -1)
local last = redis.pcall('INCRBY', KEYS[5], #jobs)
if type(last) == 'table' then -- not ours any more: tokens must go on growing
  last = redis.call('TIME')[1] * 1000000 + #jobs
  redis.call('SET', KEYS[5], string.format('%.0f', last))
end
local fence = last - #jobs + 1
local more = redis.call('EXISTS', ready) == 1 and 'MORE' or 'EMPTY'
return { more, fence, cancelled, unpack(jobs) }
