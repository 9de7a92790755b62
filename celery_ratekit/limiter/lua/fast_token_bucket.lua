-- Token buckets in the plain form of their state: the questions that are asked most.
--
-- The same arithmetic as token_bucket.lua, written out without functions and without a table for
-- each limit, which cost more than the decision itself; the property tests hold both against one
-- model. What does not fit (other kinds, several limits ahead of time, promises with a cost above
-- 1, a freeze, the long form of the state, a paused bucket, a denial by several limits of which
-- one has a new rate to note) falls through to the general part below, which reads all anew.
local buckets_only = kind == 1 and (operation == 1 or operation == 2 and limit_count == 1)
for n = 2, limit_count do
  buckets_only = buckets_only and string.byte(ARGV[1], 34 * n - 11) == 1
end

if buckets_only then
  local values, plans
  if limit_count > 1 then
    values, plans = redis.call('MGET', unpack(KEYS)), {0, 0, 0, 0, 0, 0, 0, 0, 0}
  elseif key_count == 2 then
    values = redis.call('MGET', KEYS[1], KEYS[2])
  else
    values = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
  end
  local plain, changed = true, false
  local granted, start, who, first, step = 0, 0, 0, 0, 0
  local packed, new_expiry -- false where the state can be overwritten in place
  local key_index, position = 1, 57

  for n = 1, limit_count do
    local state = values[key_index]
    plain = a < math.huge and (horizon == 0 or cost <= 1)
      and not (values[key_index + 1] or key_count == 3 and values[key_index + 2])
      and (not state or #state == 28)
    if not plain then break end

    local interval, full = a, -b * a
    local offset, expiry = full, 0
    if state then
      local version, written, old_interval
      version, written, offset, old_interval, expiry = struct.unpack('<BI7ddI4', state)
      plain = version == 1
      if not plain then break end
      if interval > old_interval and offset < 0 then
        offset = offset * interval / old_interval
      end
      if now > written then offset = offset - (now - written) end
      if interval < old_interval and offset < 0 then
        offset = offset * interval / old_interval
      end
      if offset < full then offset = full end
      if interval ~= old_interval or now < written then changed = true end
    elseif x > 0 then
      offset = math.min(0, math.max(full, x - now))
    end

    step = cost * interval
    first = offset + step
    granted = 0
    if first <= horizon + 0.0009765625 then
      granted = 1
      if count > 1 then
        granted = math.min(count, math.floor((horizon + 0.0009765625 - first) / step) + 1)
      end
      offset = offset + granted * step
    end
    if granted > 0 or changed then
      local needed = math.min(4294967295, math.ceil((now + offset - full) / 1000000))
      new_expiry = false
      if expiry < needed or expiry * 1000000 <= now + 1000000 then
        expiry = math.min(4294967295,
          math.max(needed, math.ceil(now / 1000000)) + 10 + math.floor(-full / 4 / 1000000))
        new_expiry = expiry
      end
      packed = struct.pack('<BI7ddI4', 1, now, offset, interval, expiry)
    end

    if limit_count > 1 then
      if first > start then start, who = first, n end
      plans[3 * n - 2], plans[3 * n - 1], plans[3 * n] = KEYS[key_index], packed, new_expiry
      if n < limit_count then
        key_index = key_index + key_count
        kind, key_count, a, b, cost, x, position = struct.unpack('<BBdddd', ARGV[1], position)
      end
    end
  end

  -- Several limits: all or none, and the general part knows what else to do at the very edge.
  if plain and limit_count > 1 then
    granted = start <= 0 and 1 or 0
    first = start
    plain = granted == 1 or start > 0.0009765625 and not changed
  end
  if plain then
    if granted > 0 or changed then
      local key = KEYS[1]
      for n = 1, limit_count do
        if plans then key, packed, new_expiry = plans[3 * n - 2], plans[3 * n - 1], plans[3 * n] end
        if new_expiry then
          redis.call('PSETEX', key, math.max(1, math.ceil(new_expiry * 1000 - now / 1000)), packed)
        else
          redis.call('SETRANGE', key, 0, packed)
        end
      end
    end
    if operation == 1 then
      if granted == 1 then return now end
      return {0, math.ceil(first - horizon - 0.0009765625), plans and who or 1, 1}
    end
    local wait = 0
    if granted < count then
      wait, who = math.ceil(first + granted * step - horizon - 0.0009765625), 1
    end
    return {granted, now, wait, who, who, string.format('%.17g', first)}
  end
end
