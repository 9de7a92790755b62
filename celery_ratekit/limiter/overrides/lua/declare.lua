-- Says what a worker declares, for a time.
--
-- ARGV[1]  packed '<ddI4': clock (us; 0: the server's), for how long (us), how many there may be
-- ARGV[2]  channel    ARGV[3]  message    ARGV[4+]  declarations
-- Answers how many were taken: where there is no room, only those that are known.
local MOST_AT_ONCE = 1000

local clock, length, most = struct.unpack('<ddI4', ARGV[1])
local now = read_clock(clock)
local ends = string.format('%.0f', now + length)
local gone = redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
local before = redis.call('ZCARD', KEYS[2])
local has_room = before + #ARGV - 3 <= most

local members, taken = {}, 0
for n = 4, #ARGV do
  if has_room or redis.call('ZSCORE', KEYS[2], ARGV[n]) then
    members[#members + 1] = ends
    members[#members + 1] = ARGV[n]
    taken = taken + 1
  end
  if #members >= 2 * MOST_AT_ONCE or n == #ARGV and #members > 0 then
    redis.call('ZADD', KEYS[2], unpack(members))
    members = {}
  end
end
local after = redis.call('ZCARD', KEYS[2])
if after > 0 then redis.call('PEXPIRE', KEYS[2], math.ceil(length / 1000)) end
if gone > 0 or after > before then changed(now, ARGV[2], ARGV[3]) end
return taken
