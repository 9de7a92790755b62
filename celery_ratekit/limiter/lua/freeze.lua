-- Freezes a limit, or ends its freeze.
--
-- KEYS[1]  the freeze        ARGV[1]  packed '<dd': clock (us; 0: the server's), length (us)
--
-- Value '<dd': end and length (us). A freeze that lasts longer already stays; length 0 ends it.
-- Answers the us that the limit is frozen from now.
local clock, length = struct.unpack('<dd', ARGV[1])
local now = clock
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
if length <= 0 then
  redis.call('DEL', KEYS[1])
  return 0
end
local value = redis.call('GET', KEYS[1])
if value then
  local ends, was = struct.unpack('<dd', value)
  local left = math.min(ends - now, was)
  if left >= length then return left end
end
redis.call('SET', KEYS[1], struct.pack('<dd', now + length, length),
  'PX', math.max(1, math.ceil(length / 1000)))
return length
