-- Uses up a reservation, once.
--
-- KEYS[1]   the reservation            KEYS[2+]  freezes of the limits that it was made under
-- ARGV[1]   packed '<dd': clock (us; 0: the server's), how early it may be used (us)
-- ARGV[2]   its owner
--
-- Value: '<d' start (us), then the owner. Answers {0} if there is none for this owner, {1, late, now}
-- if it was used (us after its start, negative: before; the time), {2, early} if it is too early and was
-- left alone, {3, left} if a limit was frozen meanwhile, in which case it is used up too.
local clock, tolerance = struct.unpack('<dd', ARGV[1])
local now = clock
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local value = redis.call('GET', KEYS[1])
if not value or string.sub(value, 9) ~= ARGV[2] then return {0} end
local late = now - struct.unpack('<d', value)
if late < -tolerance then return {2, -late} end
redis.call('DEL', KEYS[1])
for n = 2, #KEYS do
  local freeze = redis.call('GET', KEYS[n])
  if freeze then
    local ends, length = struct.unpack('<dd', freeze)
    local left = math.min(ends - now, length)
    if left > 0 then return {3, math.ceil(left)} end
  end
end
return {1, late, now}
