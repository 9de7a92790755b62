-- Extends the lease of a holder's places; a place that was lost meanwhile stays lost.
--
-- KEYS[1]  the places       ARGV[1]  packed '<ddd': clock (us; 0: the server's), lease (us), places
-- ARGV[2]  the holder       Answers how many places it still holds.
local clock, lease, places = struct.unpack('<ddd', ARGV[1])
local now = clock
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local kept = 0
for place = 0, places - 1 do
  local member = ARGV[2] .. string.format('/%.0f/%.0f', place, lease)
  if redis.call('ZSCORE', KEYS[1], member) then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + lease), member)
    kept = kept + 1
  end
end
if kept > 0 then
  local left = math.ceil(lease / 1000)
  if redis.call('PTTL', KEYS[1]) < left then redis.call('PEXPIRE', KEYS[1], left) end
end
return kept
