-- Takes in what a process met, and says what rate follows and whether others have to be told.
--
-- KEYS[1]  what is known, as law.lua packs it, then '<dd': the rate that others were told last, per
--          second, and when (us)
-- ARGV[1]  packed '<dddddddd': clock (us; 0: the server's); 1 for a 429, else 0; when its call was
--          granted (us; 0: not known) or how many calls went well; for how long it froze the limit
--          (s); start, least, most (per second); the rate that the process goes by (per second)
--
-- Answers '<dddB': the rate, per second; when it was last lowered (us; 0: never); for how long that
-- is remembered (s); and what to tell others: 0 nothing, 1 the rate, 2 that nothing is known.
--
-- Nothing is kept where the rate is back at the ceiling from which it started, and what nobody
-- adds to is forgotten after a day, or a hundred starts where those take longer.
local SAYS_NOTHING, SAYS_RATE, SAYS_FORGET = 0, 1, 2
local CHANGE = 0.01        -- what is less is not worth telling, as a share of the rate
local SPREAD_US = 3000000  -- after how long a process that goes by another rate shows that the word
                           -- was lost, or overtaken by an older one
local DAY, YEAR, KEEP_STARTS = 86400, 366 * 86400, 100
local TOLD = '<dd'

local clock, is_refusal, number, freeze_seconds, start, least, most, seen =
  struct.unpack('<dddddddd', ARGV[1])
local bounds = {start = start, least = least, most = most}
local now = clock
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local state = redis.call('GET', KEYS[1])
local learned = read_learned(state, bounds, now)
local told, told_at = start, now
if state then told, told_at = struct.unpack(TOLD, state, LAW_BYTES + 1) end

if is_refusal == 1 then
  local granted = number
  if granted == 0 then granted = now end
  learned = throttled(learned, bounds, now, granted, freeze_seconds)
else
  learned = succeeded(learned, bounds, now, number)
end

local rate = rate_of(learned, bounds)
local keep = math.min(YEAR, math.max(DAY, KEEP_STARTS / rate))

if is_settled(learned, bounds) then
  if state then redis.call('DEL', KEYS[1]) end
  local says = SAYS_NOTHING
  if state or seen ~= start then says = SAYS_FORGET end
  return struct.pack('<dddB', rate, learned.lowered_at, keep, says)
end

local function differs(one, other)
  if one == other then return false end
  return other == least or other == most or math.abs(one - other) >= CHANGE * one
end

local function has_to_tell()
  local age = now - told_at
  if differs(told, rate) or age < 0 then return true end
  return age >= SPREAD_US and differs(seen, rate) or age >= keep * 1e6 / 2
end

local says = SAYS_NOTHING
if has_to_tell() then says, told, told_at = SAYS_RATE, rate, now end
redis.call('PSETEX', KEYS[1], math.ceil(keep * 1000),
  pack_learned(learned) .. struct.pack(TOLD, told, told_at))
return struct.pack('<dddB', rate, learned.lowered_at, keep, says)
