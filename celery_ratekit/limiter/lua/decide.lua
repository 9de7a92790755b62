-- Grants as many of `count` equal calls as may start within the horizon, all limits or none.
--
-- KEYS[last], ARGV[last]  where operation is 3: a reservation to be kept if it lies ahead, and
--                         its owner
-- ARGV[1] may go on after the limits with a double, `apart` (us): how far the limits of a call may
-- lie apart in when each alone would let it start (0 where it would let it start now; so says a
-- place, whether it is free or comes back later). A start ahead is held against all limits of the
-- call, so one that a slow limit puts off keeps others waiting on a fast one for that long.
--
-- Limits that lie farther apart do so until the last of them is `apart` away: those before it have
-- let the call start by then. So such a call may be promised as far ahead as the horizon and
-- `apart` both allow, and is told to ask again when it can be; limits that agree never come to lie
-- farther apart by waiting.
--
-- Answer to operation 1 (one call, now): the start (us) as an integer, or {0, wait, limit, reason}.
-- Answer to operations 2 and 3: {granted, now, wait, limit, reason, starts...}: the starts are us
-- ahead of now; one string is the first of a progression whose step the caller knows. The wait (us)
-- is that of the first call that was not granted; -1: not known. Limit 0: all were granted.
-- {-1, now, limit, since, ahead, back}: a schedule's instants do not reach far enough (kinds.lua).
--
-- Kind 0 has no state: it only stands for the freeze of a name on another node of a cluster.
local RESERVATION_GRACE_MS = 60000

local limits = read_limits()
local missing = load_limits(limits)
if missing then return missing end

local apart, limits_end = math.huge, 22 + 34 * limit_count
if #ARGV[1] > limits_end then apart = struct.unpack('<d', ARGV[1], limits_end + 1) end

local granted, starts = 0, {}
local wait, who, why = 0, 0, 0
for n = 1, limit_count do
  local limit = limits[n]
  if limit.frozen > wait then wait, who, why = limit.frozen, n, FROZEN end
end

while granted < count do
  local start, last, cause, soonest = 0, 0, 0, math.huge
  local left, binding, reason = EPSILON, 0, 0
  for n = 1, limit_count do
    local limit = limits[n]
    if limit.kind > 0 then
      local earliest, why_later = EARLIEST[limit.kind](limit)
      if limit.missing then return ask_for_instants(n, limit.missing) end
      soonest = math.min(soonest, math.max(0, earliest))
      if why_later == BUSY then -- A place that is taken cannot be promised ahead.
        soonest = 0
        if earliest > left then left, binding, reason = earliest, n, BUSY end
      elseif earliest > start then
        start, last, cause = earliest, n, why_later
      end
    end
  end
  local reach = horizon
  if start - soonest > apart + EPSILON then reach = math.min(horizon, apart) end
  if start - reach > left then left, binding, reason = start - reach, last, cause end
  if who > 0 or binding > 0 then
    if left > wait then wait, who, why = left, binding, reason end
    break
  end
  for n = 1, limit_count do
    local limit = limits[n]
    if limit.kind > 0 then CHARGE[limit.kind](limit, start) end
  end
  granted = granted + 1
  starts[granted] = ceil_us(start)
end

for n = 1, limit_count do
  local limit = limits[n]
  if limit.kind > 0 and (granted > 0 or (limit.changed and (limit.state or limit.shift))) then
    STORE[limit.kind](limit)
  end
end

if granted == 1 and operation == 3 and starts[1] > 0 then
  redis.call('SET', KEYS[#KEYS], struct.pack('<d', now + starts[1]) .. ARGV[#ARGV],
    'PX', math.ceil(starts[1] / 1000) + RESERVATION_GRACE_MS)
end
if wait == math.huge then wait = -1 else wait = ceil_us(wait) end
if operation == 1 then
  if granted == 1 then return now end
  return {0, wait, who, why}
end
local answer = {granted, now, wait, who, why}
for n = 1, granted do answer[n + 5] = starts[n] end
return answer
