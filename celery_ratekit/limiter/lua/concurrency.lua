-- Kind 5, concurrency: at most b places are held at a time.
--
-- a  lease of a place, us          ARGV[x]  the holder's id
--
-- State: a sorted set of places by the end of their lease (us). What ran out is removed only when
-- the places seem to be all taken. A place is named holder/number/lease (us), so that one with more
-- than its lease ahead of it shows that the clock stepped back; it then gets one lease from now.
local function place_name(holder, place, lease)
  return holder .. string.format('/%.0f/%.0f', place, lease) -- %s would end at a zero byte.
end

local function places_load(limit)
  limit.holder = ARGV[limit.x]
  limit.taken, limit.ended = 0, 0
  limit.held = redis.call('ZCARD', limit.key)
end

-- Counts what ran out without removing it.
local function places_look(limit)
  limit.ended = redis.call('ZCOUNT', limit.key, '-inf', string.format('%.0f', now))
  limit.held = limit.held - limit.ended
  limit.swept, limit.looks_only = true, true
end

local function place_outlives_its_lease(name, ends)
  local lease = tonumber(string.match(name, '(%d+)$'))
  return ends - now > lease, lease
end

local function places_shorten(limit)
  local places = redis.call('ZRANGE', limit.key, 0, -1, 'WITHSCORES')
  for n = 1, #places, 2 do
    local outlives, lease = place_outlives_its_lease(places[n], tonumber(places[n + 1]))
    if outlives then
      redis.call('ZADD', limit.key, string.format('%.0f', now + lease), places[n])
    end
  end
end

-- Us until the place at `index` comes back.
local function places_end(limit, index)
  local name, ends = unpack(redis.call('ZRANGE', limit.key, index, index, 'WITHSCORES'))
  local outlives, lease = place_outlives_its_lease(name, tonumber(ends))
  if not outlives then return ends - now end
  if limit.looks_only then return lease end
  places_shorten(limit)
  return places_end(limit, index)
end

local function places_earliest(limit)
  if limit.b == 0 then return math.huge, PAUSED end
  local lacking = limit.held + limit.taken + limit.cost - limit.b
  if lacking > 0 and not limit.swept then
    limit.swept = true
    limit.held = limit.held
      - redis.call('ZREMRANGEBYSCORE', limit.key, '-inf', string.format('%.0f', now))
    lacking = limit.held + limit.taken + limit.cost - limit.b
  end
  if lacking <= 0 then return 0, RATE end
  if lacking > limit.held then return limit.a, BUSY end
  return math.max(1, places_end(limit, limit.ended + lacking - 1)), BUSY
end

local function places_charge(limit)
  limit.taken = limit.taken + limit.cost
end

local function places_store(limit)
  if limit.taken == 0 then return end
  local ends = string.format('%.0f', now + limit.a)
  local arguments = {}
  for place = 0, limit.taken - 1 do
    arguments[#arguments + 1] = ends
    arguments[#arguments + 1] = place_name(limit.holder, place, limit.a)
    if #arguments >= 4000 then
      redis.call('ZADD', limit.key, unpack(arguments))
      arguments = {}
    end
  end
  if #arguments > 0 then redis.call('ZADD', limit.key, unpack(arguments)) end
  local left = math.ceil(limit.a / 1000)
  if redis.call('PTTL', limit.key) < left then redis.call('PEXPIRE', limit.key, left) end
end

local function places_available(limit)
  return limit.b - limit.held
end
