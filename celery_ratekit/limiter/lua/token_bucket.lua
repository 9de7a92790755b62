-- Kind 1, token bucket.
--
-- a  us per token at the rate in force (infinity: paused)    b  capacity in tokens
-- x  when the rate was last lowered, us (0: not known); a bucket without state then starts empty
--    at that moment, because it may have expired under the higher rate before it was full
--
-- State '<BI7ddI4', 28 bytes: version, time written (us), offset, us per token when written,
-- expiry (s). The offset is the moment at which the bucket is empty, relative to the time written:
-- negative while there are tokens, positive when starts are promised ahead or a debt is owed.
--
-- The long form '<BI7ddI4dd', 44 bytes, adds the last promised start (us, relative) and what may
-- be given back before it without two starts coming too near (us of offset); a debt takes it too.
-- In the plain form a positive offset is itself the last promise, made at a cost of 1 at the most.
--
-- A changed rate keeps tokens as tokens. Order matters: a lowered rate converts them before time
-- accrues, a raised one after, so that neither the change nor its late discovery grants a token too
-- many. What is promised or owed stays where it is in time: were it converted, callers that know
-- two rates, as they do while a change spreads, would drive it ahead without end. A pause is a closed door and no rate:
-- nothing is granted, and tokens come back as in any other quiet time.
local function bucket_load(limit)
  local interval, capacity = limit.a, limit.b
  limit.promise, limit.spare = 0, math.huge
  if not limit.state then
    limit.interval = interval
    limit.full = -capacity * interval
    if interval == math.huge then
      limit.full, limit.offset = 0, 0
      return
    end
    limit.offset = limit.full
    if limit.x > 0 then limit.offset = math.min(0, math.max(limit.full, limit.x - now)) end
    return
  end
  check_version(limit, 'a token bucket')
  local _, written, offset, old_interval, expiry = struct.unpack('<BI7ddI4', limit.state)
  if interval == math.huge then interval = old_interval end
  local elapsed = math.max(0, now - written)

  if interval > old_interval and offset < 0 then offset = offset * interval / old_interval end
  offset = offset - elapsed
  if interval < old_interval and offset < 0 then offset = offset * interval / old_interval end

  limit.interval, limit.full = interval, -capacity * interval
  limit.offset = math.max(offset, limit.full)
  limit.expiry = expiry
  limit.changed = interval ~= old_interval or now < written
  if #limit.state >= 44 then
    limit.promise, limit.spare = struct.unpack('<dd', limit.state, 29)
    limit.promise = math.max(0, limit.promise - elapsed)
    if limit.promise == 0 then
      limit.spare = math.huge
    elseif interval ~= old_interval then
      -- At a raised rate the bucket could be full before the promised start.
      if interval < old_interval then limit.offset = math.max(limit.offset, limit.promise) end
      limit.spare = 0
    end
  elseif limit.offset > EPSILON then
    limit.promise, limit.spare = limit.offset, math.max(0, capacity - 1) * interval
  end
end

local function bucket_earliest(limit)
  if limit.a == math.huge then return math.huge, PAUSED end
  return limit.offset + limit.cost * limit.interval, RATE
end

-- Charges a start that lies `start` us ahead. The bucket may overflow until then, so that another
-- limit's later start cannot hoard this one's tokens.
local function bucket_charge(limit, start)
  local capacity = -limit.full
  local step = limit.cost * limit.interval
  if start > EPSILON then
    local spare = capacity - math.max(step, limit.interval)
    if start > limit.offset + step then spare = limit.offset - (start - capacity) end
    limit.spare = math.max(0, math.min(limit.spare, spare))
    limit.promise = math.max(limit.promise, start)
  end
  limit.offset = math.max(limit.offset, start - capacity) + step
end

local function bucket_store(limit)
  if limit.a == math.huge and not limit.state then return end
  local plain_spare = math.max(0, limit.b - 1) * limit.interval
  local plain = limit.promise <= 0 and limit.offset <= EPSILON
    or limit.promise == limit.offset and limit.spare * (1 + 1e-9) >= plain_spare
  local full_after = math.max(limit.offset - limit.full, limit.promise)
  local expiry, in_place = plan_expiry(limit, plain and 28 or 44, full_after, -limit.full / 4)
  local packed = struct.pack('<BI7ddI4', 1, now, limit.offset, limit.interval, expiry)
  if not plain then packed = packed .. struct.pack('<dd', limit.promise, limit.spare) end
  write_state(limit, packed, expiry, in_place)
end

-- Gives back (amount < 0) or takes more (amount > 0) after the call. A debt is bounded by one
-- capacity on top of what is promised; what is given back never lets a start come too near to a
-- promised one.
local function bucket_amend(limit, amount)
  local change = amount * limit.interval
  if change > 0 then
    limit.offset = math.max(limit.offset, math.min(limit.offset + change, limit.promise - limit.full))
    return
  end
  local given = -change
  if limit.promise > 0 then
    given = math.min(given, limit.spare)
    limit.spare = limit.spare - given
  end
  limit.offset = math.max(limit.full, limit.offset - given)
end

local function bucket_available(limit)
  if limit.interval == math.huge or limit.interval == 0 then return 0 end
  return -limit.offset / limit.interval
end
