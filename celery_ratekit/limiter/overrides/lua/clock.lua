-- What every script of the overrides knows.
--
-- KEYS[1]  the overrides: field of a place (places.py) -> record; and `v`, the version, `p`, when
--          old records were last removed (us)
-- KEYS[2]  what workers declare, a sorted set: kind, name and rate -> until when that counts (us)
--
-- A record is '<Bdddd' (33 bytes): version 1, set at, ends at (0: never), the rate was last lowered
-- at (us; 0: not known), amount per second; then an id of 16 bytes, then JSON.
--
-- The version is the time of the last change, or one more than the last version: so it never comes
-- back, also where all was removed in between. Neither key outlives what it holds.
local HEADER, HEADER_BYTES = '<Bdddd', 33

local function read_clock(clock)
  if clock ~= 0 then return clock end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Notes that something has changed and tells whoever listens. A record stays until it is removed;
-- without one only the version is kept, for as long as declarations live: when it goes, whoever
-- looks at it reads all anew, once.
local function changed(now, channel, message)
  local version = math.max(now, tonumber(redis.call('HGET', KEYS[1], 'v') or 0) + 1)
  redis.call('HSET', KEYS[1], 'v', string.format('%.0f', version))
  if redis.call('HLEN', KEYS[1]) > 2 or redis.call('HEXISTS', KEYS[1], 'p') == 0
      and redis.call('HLEN', KEYS[1]) > 1 then
    redis.call('PERSIST', KEYS[1])
  else
    local left = redis.call('PTTL', KEYS[2])
    if left > 0 then redis.call('PEXPIRE', KEYS[1], left) else redis.call('DEL', KEYS[1]) end
  end
  -- Who may not publish has changed it all the same: others see the version.
  redis.pcall('PUBLISH', channel, message)
end
