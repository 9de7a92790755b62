-- Changes many overrides, all or none.
--
-- ARGV[1]  packed '<ddI4': clock (us; 0: the server's), how long an ended rate is remembered (us),
--          how many records there may be
-- ARGV[2]  channel    ARGV[3]  message
-- ARGV[4+] for each change: what to do, a field, the id that the live record there must have ('':
--          any, '-': none may be there; otherwise the change is left out), and
--            'set':  packed '<dd' for how long (us, 0: until changed) and amount per second; id; JSON
--            'end':  nothing
--            'back': a whole record as it was read
--
-- A rate that ends is remembered as ended, since keys that expired under it may not be full under
-- what counts then. Everything else is removed.
--
-- Answers {time, 1 or 0 for each change: whether it was done}; {-1, number of records} where there
-- would be too many.
local clock, memory, most = struct.unpack('<ddI4', ARGV[1])
local now = read_clock(clock)

local function ended(value)
  if string.byte(value) ~= 1 then return false, 0 end -- Of a newer release: it is not ours to end.
  local _, _, ends = struct.unpack(HEADER, value)
  return ends > 0 and ends <= now, ends
end

local function remove_old(keep_ended_us)
  local all = redis.call('HGETALL', KEYS[1])
  for n = 1, #all, 2 do
    if #all[n] > 1 then
      local is_ended, ends = ended(all[n + 1])
      if is_ended and ends <= now - keep_ended_us then redis.call('HDEL', KEYS[1], all[n]) end
    end
  end
end

local function is_allowed(field, guard)
  if guard == '' then return true end
  local value = redis.call('HGET', KEYS[1], field)
  local is_there = value and not ended(value)
  if guard == '-' then return not is_there end
  return is_there and string.sub(value, HEADER_BYTES + 1, HEADER_BYTES + 16) == guard
end

-- When the rate was last lowered, once a rate of so much per second takes the place of a record.
local function lowered_at(field, per_second)
  local value = redis.call('HGET', KEYS[1], field)
  if not value or string.byte(value) ~= 1 then return 0 end
  local _, _, ends, lowered, before = struct.unpack(HEADER, value)
  if per_second >= before or before == math.huge then return lowered end
  if ends > 0 and ends <= now then return math.max(lowered, ends) end
  return now
end

local function set(field, value)
  local for_us, per_second, json_at = struct.unpack('<dd', value)
  local ends = 0
  if for_us > 0 then ends = now + for_us end
  redis.call('HSET', KEYS[1], field,
    struct.pack(HEADER, 1, now, ends, lowered_at(field, per_second), per_second)
      .. string.sub(value, json_at))
end

local function put_back(field, value)
  local _, at, ends, lowered, per_second, rest = struct.unpack(HEADER, value)
  lowered = math.max(lowered, lowered_at(field, per_second))
  redis.call('HSET', KEYS[1], field,
    struct.pack(HEADER, 1, at, ends, lowered, per_second) .. string.sub(value, rest))
end

local function finish(field)
  local value = redis.call('HGET', KEYS[1], field)
  if not value or ended(value) then return false end
  local is_rate = string.find('tra', string.sub(field, 1, 1), 1, true)
  if is_rate and string.byte(value) == 1 then
    local _, at, _, lowered, per_second, rest = struct.unpack(HEADER, value)
    redis.call('HSET', KEYS[1], field,
      struct.pack(HEADER, 1, at, now, lowered, per_second) .. string.sub(value, rest))
  else
    redis.call('HDEL', KEYS[1], field)
  end
  return true
end

local last_removal = tonumber(redis.call('HGET', KEYS[1], 'p') or 0)
if now - last_removal > 60000000 or now < last_removal then
  remove_old(memory)
  redis.call('HSET', KEYS[1], 'p', string.format('%.0f', now))
end

local wanted, allowed, more = {}, {}, 0
for n = 4, #ARGV, 4 do
  allowed[n] = is_allowed(ARGV[n + 1], ARGV[n + 2])
  if allowed[n] and ARGV[n] ~= 'end' and not wanted[ARGV[n + 1]] then
    wanted[ARGV[n + 1]] = true
    if redis.call('HEXISTS', KEYS[1], ARGV[n + 1]) == 0 then more = more + 1 end
  end
end
local function records() return redis.call('HLEN', KEYS[1]) - 2 end -- without `v` and `p`
if more > 0 and records() + more > most then remove_old(0) end
if more > 0 and records() + more > most then return {-1, records()} end

local answer, any = {now}, false
for n = 4, #ARGV, 4 do
  local done = allowed[n]
  if done then
    if ARGV[n] == 'set' then
      set(ARGV[n + 1], ARGV[n + 3])
    elseif ARGV[n] == 'back' then
      put_back(ARGV[n + 1], ARGV[n + 3])
    else
      done = finish(ARGV[n + 1])
    end
  end
  any = any or done
  answer[#answer + 1] = done and 1 or 0
end
if any then changed(now, ARGV[2], ARGV[3]) elseif records() <= -1 then redis.call('DEL', KEYS[1]) end
return answer
