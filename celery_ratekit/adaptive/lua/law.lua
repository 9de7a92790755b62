-- What a fleet has learned about the rate that a service takes: the law of law.py, line by line.
--
-- state    '<Bdddddddd', 65 bytes, and what others put behind: version, low, known (per second),
--          worked (s), climb (s), factor, lowered at (us; 0: never), counted since (us), counted
-- bounds   start, least, most (per second)
-- pitfall  x * x * x and not x ^ 3: both languages then round alike.
local STATE, LAW_BYTES = '<Bdddddddd', 65
local GENTLE, HARSHEST, REMEMBERED = 0.95, 0.65, 0.98
local SOON_SECONDS, SOON_STARTS = 4, 10
local CLIMB_SECONDS, CLIMB_STARTS = 20, 50
local CLIMB_FREEZES, MOST_FREEZE_SECONDS = 20, 60
local PROBE_SHARE, USED_SHARE = 0.1, 0.5
local ROUND_US = 3000000
local COUNTING_US, COUNTING_STARTS = 2000000, 10

local function rate_of(learned, bounds)
  local climbed = learned.worked / learned.climb - 1
  local cube = climbed * climbed * climbed
  local rate = learned.known
  if climbed < 0 then
    rate = rate + (learned.known - learned.low) * cube
  else
    rate = learned.known * (1 + PROBE_SHARE * cube)
  end
  return math.min(bounds.most, math.max(bounds.least, rate))
end

local function climb_seconds(rate)
  return math.max(CLIMB_SECONDS, CLIMB_STARTS / rate)
end

local function untried(rate, now)
  local climb = climb_seconds(rate)
  return {low = rate, known = rate, worked = climb, climb = climb, factor = 1, lowered_at = 0,
    since = now, counted = 0}
end

local function read_learned(state, bounds, now)
  if not state then return untried(bounds.start, now) end
  local version = string.byte(state)
  if version ~= 1 then
    error('RATEKIT_STATE_VERSION an adaptive rate has version ' .. (version or 'none')
      .. ', known is 1')
  end
  local _, low, known, worked, climb, factor, lowered_at, since, counted =
    struct.unpack(STATE, state)
  return {low = low, known = known, worked = worked, climb = climb, factor = factor,
    lowered_at = math.min(lowered_at, now), since = math.min(since, now), counted = counted}
end

local function pack_learned(learned)
  return struct.pack(STATE, 1, learned.low, learned.known, learned.worked, learned.climb,
    learned.factor, learned.lowered_at, learned.since, learned.counted)
end

local function throttled(learned, bounds, now, granted, freeze_seconds)
  if learned.lowered_at ~= 0 and math.min(granted, now) < learned.lowered_at + ROUND_US then
    return learned
  end
  local rate = rate_of(learned, bounds)
  local factor = GENTLE
  if learned.worked < math.max(SOON_SECONDS, SOON_STARTS / rate) then
    factor = math.max(HARSHEST, learned.factor * learned.factor)
  end
  local low = math.max(bounds.least, rate * factor)
  local known = math.max(low, rate * REMEMBERED)
  local climb = math.max(climb_seconds(known),
    CLIMB_FREEZES * math.min(freeze_seconds, MOST_FREEZE_SECONDS))
  return {low = low, known = known, worked = 0, climb = climb, factor = factor, lowered_at = now,
    since = now, counted = 0}
end

local function succeeded(learned, bounds, now, count)
  learned.counted = learned.counted + count
  local rate = rate_of(learned, bounds)
  local span = now - learned.since
  if span < math.max(COUNTING_US, COUNTING_STARTS * 1e6 / rate) then return learned end
  local used_seconds, span_seconds = learned.counted / rate, span / 1e6
  if used_seconds >= USED_SHARE * span_seconds then
    learned.worked = learned.worked + math.min(used_seconds, span_seconds)
  end
  learned.since, learned.counted = now, 0
  if rate_of(learned, bounds) < bounds.most then return learned end
  local highest = untried(bounds.most, now)
  highest.lowered_at = learned.lowered_at
  return highest
end

local function is_settled(learned, bounds)
  return bounds.start == bounds.most and rate_of(learned, bounds) >= bounds.most
end
