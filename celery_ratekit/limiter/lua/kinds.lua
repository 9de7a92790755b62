-- The kinds by their number, so that the rest need not know one from another.
local LOAD = {bucket_load, window_load, sliding_load, schedule_load, places_load}
local EARLIEST = {bucket_earliest, window_earliest, sliding_earliest, schedule_earliest,
  places_earliest}
local CHARGE = {bucket_charge, window_charge, sliding_charge, schedule_charge, places_charge}
local STORE = {bucket_store, window_store, sliding_store, schedule_store, places_store}
local AVAILABLE = {bucket_available, window_available, sliding_available, schedule_available,
  places_available}

-- A run of instants that is too short for limit n: the caller asks again with {since, ahead, back},
-- a run that reaches back to `since` (us) or holds `back` instants before now (0: it reaches back),
-- and holds `ahead` instants after now at the least.
local function ask_for_instants(n, missing)
  return {-1, now, n, string.format('%.0f', missing[1]), missing[2], missing[3]}
end

-- Loads every limit; returns the answer to give at once if a schedule does not reach far enough.
local function load_limits(limits)
  for n = 1, limit_count do
    local limit = limits[n]
    if limit.kind > 0 then
      local missing = LOAD[limit.kind](limit)
      if missing then return ask_for_instants(n, missing) end
    end
  end
  return nil
end
