-- Takes more of limits that were charged before, or gives back.
--
-- The cost of each limit is the change: positive takes more and may leave a debt, negative gives
-- back. The question's horizon is the start that was granted and its count is not used; the clock
-- at which it was granted follows as the last argument, so that each kind can tell whether what it
-- would give back still counts. Answers the time (us).
local limits = read_limits()
local missing = load_limits(limits)
if missing then return missing end
local charged, asked = horizon, tonumber(ARGV[#ARGV])

for _, limit in ipairs(limits) do
  local amount = limit.cost
  if limit.kind == 1 then
    if limit.interval < math.huge then bucket_amend(limit, amount) end
  elseif limit.kind == 2 then
    window_amend(limit, amount, charged - now)
  elseif limit.kind == 3 then
    sliding_amend(limit, amount, charged, asked)
  elseif limit.kind == 4 then
    schedule_amend(limit, amount)
  end
end
for _, limit in ipairs(limits) do
  if limit.kind == 5 then
    for place = 0, -limit.cost - 1 do
      redis.call('ZREM', limit.key, place_name(limit.holder, place, limit.a))
    end
  elseif limit.cost > 0 or limit.state or limit.length then
    STORE[limit.kind](limit)
  end
end
return now
