-- Kind 2, fixed window: b calls per window of a us, counted from the first call in it.
--
-- Where another limit puts the first start of a window later, the window begins when that start is
-- promised (or when the window before it ends), so that it keeps nobody else waiting. Only a start
-- farther ahead than a whole window begins its own.
--
-- State '<BI7dddI4', 36 bytes: version, time written (us), start of the window relative to it (us,
-- positive where the window lies ahead), count, length of the window when it began (us), expiry.
-- A window ends by the shorter of the length it began with and the length in force, so a longer
-- period never forgives what was counted and a shorter one is felt at once.
local function window_load(limit)
  limit.used, limit.length = 0, limit.a
  if not limit.state then return end
  check_version(limit, 'a fixed window')
  local _, written, begins, used, length, expiry = struct.unpack('<BI7dddI4', limit.state)
  limit.expiry = expiry
  limit.changed = now < written
  begins = begins - math.max(0, now - written)
  length = math.min(length, limit.a)
  if begins + length <= 0 then return end
  limit.begins, limit.used, limit.length = begins, used, length
end

local function window_earliest(limit)
  if limit.b == 0 then return math.huge, PAUSED end
  if not limit.begins then return 0, RATE end
  if limit.used + limit.cost - rounding_of(limit.cost) <= limit.b then
    return math.max(0, limit.begins), RATE
  end
  return limit.begins + limit.length, RATE
end

local function window_charge(limit, start)
  start = ceil_us(start)
  local free = limit.begins and limit.begins + limit.length or 0
  if not limit.begins or start >= free then
    if start >= free + limit.a then free = start end
    limit.begins, limit.used, limit.length = free, 0, limit.a
  end
  limit.used = limit.used + limit.cost
end

local function window_store(limit)
  if not limit.begins then return end
  local expiry, in_place = plan_expiry(limit, 36, limit.begins + limit.length, 0)
  write_state(limit,
    struct.pack('<BI7dddI4', 1, now, limit.begins, limit.used, limit.length, expiry),
    expiry, in_place)
end

-- A debt fills this window and goes on in the next, one window's worth at the most; a window that
-- lies ahead is only filled.
local function window_amend(limit, amount, charged)
  if amount > 0 then
    if not limit.begins then limit.begins, limit.length = 0, limit.a end
    local room = math.max(0, limit.b - limit.used)
    if amount <= room or limit.begins > 0 then
      limit.used = limit.used + math.min(amount, room)
    else
      limit.begins, limit.length = limit.begins + limit.length, limit.a
      limit.used = math.min(limit.b, amount - room)
    end
  elseif limit.begins and charged >= limit.begins and charged < limit.begins + limit.length then
    limit.used = math.max(0, limit.used + amount)
  end
end

local function window_available(limit)
  if limit.begins and limit.begins > 0 then return 0 end
  return limit.b - limit.used
end
