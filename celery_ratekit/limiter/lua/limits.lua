-- What the general part of every script shares: reading the limits, freezes, writing a state.

local EPSILON = 0.0009765625 -- us; absorbs the rounding of sums, far below the clock's step
local FOREVER = 4294967295   -- s since 1970; the last moment that four bytes can hold

-- How long a state lives on after it says no more than an absent key, so that a call that was put
-- off by rounding still meets it, s.
local SLACK = 10

-- Reasons of a denial, as the caller is told them.
local RATE, FROZEN, BUSY, PAUSED = 1, 2, 3, 4

local function ceil_us(value)
  return math.ceil(value - EPSILON)
end

-- How much of a count may be lacking for a call of this cost: sums of costs with a fraction round.
local function rounding_of(cost)
  return math.min(cost, 1) / 1000000
end

-- Us that a freeze still lasts. One with more than its length ahead of it shows that the clock
-- stepped back; it then gets its length from now.
local function freeze_left(key, value)
  local ends, length = struct.unpack('<dd', value)
  if ends - now <= length then return math.max(0, ends - now) end
  redis.call('SET', key, struct.pack('<dd', now + length, length),
    'PX', math.max(1, math.ceil(length / 1000)))
  return length
end

-- The expiry (s) with which a state of `size` bytes is to be written, and whether it can overwrite
-- the one that is there, whose expiry stays. That costs half of a SET, and is possible while the
-- expiry already covers the moment after which the state says no more than an absent key; slack_us
-- makes it possible for the next writes.
local function plan_expiry(limit, size, full_after_us, slack_us)
  local needed = math.min(FOREVER, math.ceil((now + full_after_us) / 1000000))
  local expiry = limit.expiry
  if expiry >= needed and expiry * 1000000 > now + 1000000 and #limit.state == size then
    return expiry, true
  end
  return math.min(FOREVER,
    math.max(needed, math.ceil(now / 1000000)) + SLACK + math.floor(slack_us / 1000000)), false
end

-- PSETEX and not SET: Redis 7.0 stores a script's argument in the memory of an earlier one at the
-- same position, which for SET's value is a longer key of MGET; that costs 16 bytes a state.
local function write_state(limit, packed, expiry, in_place)
  if in_place then
    redis.call('SETRANGE', limit.key, 0, packed)
  else
    redis.call('PSETEX', limit.key, math.max(1, math.ceil(expiry * 1000 - now / 1000)), packed)
  end
end

-- Refuses a state that another release wrote, before anything of it is read.
local function check_version(limit, name)
  local version = string.byte(limit.state)
  if version ~= 1 then
    error('RATEKIT_STATE_VERSION ' .. name .. ' has version ' .. (version or 'none')
      .. ', known is 1')
  end
end

-- The limits of the question, with the values of their keys. KEYS beyond those of the limits
-- belong to the single script. Each table is made with all that every kind needs, since a table
-- that grows costs more than what is put into it.
local function read_limits()
  local values = redis.call('MGET', unpack(KEYS))
  local limits, position, first = {}, 23, 1
  for n = 1, limit_count do
    local kind, keys, a, b, cost, x, following = struct.unpack('<BBdddd', ARGV[1], position)
    local frozen = 0
    for index = first + 1, first + keys - 1 do
      if values[index] then frozen = math.max(frozen, freeze_left(KEYS[index], values[index])) end
    end
    limits[n] = {kind = kind, key = KEYS[first], a = a, b = b, cost = cost, x = x,
      state = values[first], expiry = 0, frozen = frozen}
    position, first = following, first + keys
  end
  return limits
end
