-- Kind 4, scheduled bucket: a tokens are added at each instant of a schedule, up to b.
--
-- ARGV[x] packed doubles: a time (us) with a number of instants that any stretch of that length
-- holds at the least, then a run of instants (us) around the present. The caller works them out,
-- since only it knows the calendar; a run that does not reach far enough is asked for again, with
-- the range that is needed.
--
-- State '<BI7dddddI4', 52 bytes: version, time written (us), time up to which instants are counted
-- (us), tokens then (negative: owed), how far ahead of the time written the next start may lie, how
-- far ahead the last promised one lies (us), the tokens that may be given back before that without
-- a start too many after it, expiry (s). A bucket without state is full.
--
-- A start that is promised beyond an instant takes from what that instant adds, so none may lie
-- before it. Instants are of the calendar: where the clock steps back, those that were counted are
-- not counted again. A step of more than a day says that the clock was wrong before; instants then
-- count from the present.
local DAY = 86400000000

local function schedule_instant(limit, index)
  if index < 1 or index > limit.instants then return nil end
  return struct.unpack('<d', limit.run, index * 8 + 9) - now
end

-- The last position whose instant is not after `moment`, 0 if there is none.
local function schedule_find(limit, moment)
  local low, high = 0, limit.instants
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if schedule_instant(limit, middle) <= moment then low = middle else high = middle - 1 end
  end
  return low
end

-- How many refills it takes until the bucket holds `tokens`.
local function schedule_refills(limit, tokens)
  return math.max(0, math.ceil((tokens - limit.tokens) / limit.a))
end

local function schedule_refill(limit, refills)
  limit.tokens = math.min(limit.b, limit.tokens + refills * limit.a)
end

-- Returns what must be known of the schedule before the question can be answered, or nil.
local function schedule_load(limit)
  limit.run = ARGV[limit.x]
  limit.instants = #limit.run / 8 - 2
  limit.tokens, limit.available_from = limit.b, 0
  limit.promise, limit.spare = 0, math.huge
  limit.position = schedule_find(limit, 0)
  if limit.position == 0 or limit.position == limit.instants then return {now, 1, 0} end
  limit.counted = schedule_instant(limit, limit.position)
  if not limit.state then return nil end

  check_version(limit, 'a scheduled bucket')
  local _, written, counted, tokens, lead, promise, spare, expiry =
    struct.unpack('<BI7dddddI4', limit.state)
  local elapsed = math.max(0, now - written)
  limit.expiry, limit.changed = expiry, now < written
  limit.tokens = math.min(limit.b, tokens)
  limit.available_from = math.max(0, lead - elapsed)
  limit.promise = math.max(0, promise - elapsed)
  if limit.promise > 0 then limit.spare = spare end
  if written - now > DAY then return nil end

  counted = counted - now
  local before = schedule_find(limit, counted)
  if before == limit.instants then return {now, limit.instants + 1, 0} end
  local refills = limit.position - before
  if before == 0 and refills < schedule_refills(limit, limit.b) then
    return {counted + now, 1, schedule_refills(limit, limit.b)}
  end
  if refills > 0 then
    schedule_refill(limit, refills)
  else
    limit.position, limit.counted = before, math.max(limit.counted, counted)
  end
  return nil
end

local function schedule_earliest(limit)
  local wanted = limit.cost - rounding_of(limit.cost)
  if limit.tokens >= wanted then return limit.available_from, RATE end
  local position = limit.position + schedule_refills(limit, wanted)
  local start = schedule_instant(limit, position)
  if not start then
    limit.missing = {now, position, 0}
    return math.huge, RATE
  end
  return math.max(start, limit.available_from), RATE
end

local function schedule_charge(limit, start)
  start = ceil_us(start)
  local position = schedule_find(limit, start)
  if position > limit.position then
    schedule_refill(limit, position - limit.position)
    limit.position, limit.counted = position, schedule_instant(limit, position)
    limit.available_from = math.max(0, start)
  end
  if start > 0 then
    limit.promise = math.max(limit.promise, start)
    limit.spare = math.min(limit.spare, limit.b - limit.tokens)
  end
  limit.tokens = limit.tokens - limit.cost
end

local function schedule_store(limit)
  local position = limit.position + schedule_refills(limit, limit.b)
  local full_after = schedule_instant(limit, position)
  if not full_after then
    local stretch, least = struct.unpack('<dd', limit.run)
    full_after = schedule_instant(limit, limit.instants)
      + math.ceil((position - limit.instants) / least) * stretch
  end
  local expiry, in_place = plan_expiry(limit, 52, math.max(full_after, limit.promise, 0), 0)
  write_state(limit,
    struct.pack('<BI7dddddI4', 1, now, now + limit.counted, limit.tokens, limit.available_from,
      limit.promise, limit.spare, expiry),
    expiry, in_place)
end

-- A debt is bounded by one capacity; what is given back never lets more start after a promised
-- start than could without it.
local function schedule_amend(limit, amount)
  if amount < 0 and limit.promise > 0 then
    amount = math.max(amount, -limit.spare)
    limit.spare = limit.spare + amount
  end
  limit.tokens = math.min(limit.b, math.max(-limit.b, limit.tokens - amount))
end

local function schedule_available(limit)
  if limit.available_from > 0 then return 0 end
  return limit.tokens
end
