-- Kind 3, sliding window: never more than b starts in any a us, exactly.
--
-- State: a list of start times (us) in their order: all that still count, and the last b at the
-- least. A start at its own moment is a bare integer, which Redis packs into nine bytes; a start
-- that was promised ahead is 'start,asked', so that a clock that stepped back can be told from a
-- promise: all entries then move back together.
--
-- The b-th last start plus the period is the earliest moment for the next, which never lies before
-- a start that is promised; so a call costs the same whatever b is.
local function sliding_start(value)
  return tonumber(value) or tonumber(string.match(value, '^%d+'))
end

local function sliding_entry(limit, index)
  if index >= limit.length then return limit.added[index - limit.length + 1] end
  return sliding_start(redis.call('LINDEX', limit.key, index)) - limit.shift - now
end

local function sliding_load(limit)
  limit.added, limit.shift = {}, 0
  limit.length = redis.call('LLEN', limit.key)
  if limit.length == 0 then return end
  local tail = redis.call('LINDEX', limit.key, -1)
  local asked = tonumber(tail) or tonumber(string.match(tail, ',(%d+)$'))
  if asked > now then
    limit.shift = asked - now
    limit.changed = true
  end
  limit.last = sliding_entry(limit, limit.length - 1)
end

local function sliding_earliest_of(limit, amount)
  local earliest = math.max(0, limit.last or 0)
  local index = limit.length + #limit.added - limit.b + amount - 1
  if index >= 0 then earliest = math.max(earliest, sliding_entry(limit, index) + limit.a) end
  return earliest
end

local function sliding_earliest(limit)
  if limit.b == 0 then return math.huge, PAUSED end
  return sliding_earliest_of(limit, limit.cost), RATE
end

local function sliding_add(limit, start, amount)
  for _ = 1, amount do limit.added[#limit.added + 1] = start end
  limit.last = start
end

local function sliding_charge(limit, start)
  sliding_add(limit, ceil_us(start), limit.cost)
end

local function sliding_text(start)
  if start > 0 then return string.format('%.0f,%.0f', now + start, now) end
  return string.format('%.0f', now + start)
end

local function sliding_push(key, entries)
  for from = 1, #entries, 4000 do
    redis.call('RPUSH', key, unpack(entries, from, math.min(from + 3999, #entries)))
  end
end

-- How many of the oldest `surplus` entries count no more.
local function sliding_outdated(limit, surplus)
  if sliding_entry(limit, surplus - 1) + limit.a <= 0 then return surplus end
  local low, high = 0, surplus - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if sliding_entry(limit, middle) + limit.a > 0 then high = middle else low = middle + 1 end
  end
  return low
end

local function sliding_store(limit)
  local entries, outdated = {}, 0
  local surplus = math.min(limit.length, limit.length + #limit.added - limit.b)
  if surplus > 0 then outdated = sliding_outdated(limit, surplus) end
  if limit.shift > 0 then
    for _, value in ipairs(redis.call('LRANGE', limit.key, outdated, -1)) do
      entries[#entries + 1] = sliding_text(sliding_start(value) - limit.shift - now)
    end
    redis.call('DEL', limit.key)
    outdated = 0
  end
  for _, start in ipairs(limit.added) do entries[#entries + 1] = sliding_text(start) end
  if #entries > 0 then sliding_push(limit.key, entries) end
  if outdated > 0 then redis.call('LTRIM', limit.key, outdated, -1) end
  if limit.last then
    local left = math.max(0, math.ceil((limit.last + limit.a) / 1000))
    redis.call('PEXPIRE', limit.key, left + SLACK * 1000)
  end
end

-- A debt is written as starts at the earliest moments that the limit allows, up to one period ahead;
-- what is given back is the very entries of the call, found by their time.
local function sliding_amend(limit, amount, charged, asked)
  if amount > 0 then
    for _ = 1, math.min(math.ceil(amount), limit.b) do
      local start = sliding_earliest_of(limit, 1)
      if start > limit.a then break end
      sliding_add(limit, start, 1)
    end
  elseif amount <= -1 and limit.length > 0 and limit.shift == 0 then
    local entry = string.format('%.0f', charged)
    if charged > asked then entry = string.format('%.0f,%.0f', charged, asked) end
    local removed = redis.call('LREM', limit.key, math.ceil(amount), entry)
    if removed > 0 then limit.length = redis.call('LLEN', limit.key) end
    limit.last = limit.length > 0 and sliding_entry(limit, limit.length - 1) or nil
  end
end

local function sliding_available(limit)
  if limit.length == 0 or (limit.last or 0) > 0 then
    return limit.length == 0 and limit.b or 0
  end
  local low, high = math.max(0, limit.length - limit.b), limit.length
  while low < high do
    local middle = math.floor((low + high) / 2)
    if sliding_entry(limit, middle) + limit.a > 0 then high = middle else low = middle + 1 end
  end
  return limit.b - (limit.length - low)
end
