-- What each limit would answer now; charges nothing.
--
-- Answers {now, ...} with four values a limit: what is available (a decimal string), us until a
-- call of this cost could start (-1: not known), us that a freeze still lasts, and the reason.
local limits = read_limits()
local missing = load_limits(limits)
if missing then return missing end

local answer = {now}
for n, limit in ipairs(limits) do
  if limit.kind == 5 then places_look(limit) end
  local earliest, cause, available = 0, RATE, 0
  if limit.kind > 0 then
    earliest, cause = EARLIEST[limit.kind](limit)
    available = AVAILABLE[limit.kind](limit)
  end
  if limit.missing then return ask_for_instants(n, limit.missing) end
  if limit.frozen > earliest then earliest, cause = limit.frozen, FROZEN end
  local wait = -1
  if earliest < math.huge then wait = math.max(0, ceil_us(earliest)) end
  answer[#answer + 1] = string.format('%.17g', available)
  answer[#answer + 1] = wait
  answer[#answer + 1] = math.ceil(limit.frozen)
  answer[#answer + 1] = cause
end
return answer
