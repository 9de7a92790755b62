-- Reads the question that every script of the core is asked.
--
-- KEYS     for each limit, in order: its state, its freeze and, where the limit has a key of its
--          own, the freeze of the whole name; after them what the single script adds.
-- ARGV[1]  packed, little endian: B operation, d clock (us; 0: take the server's), d horizon (us),
--          I4 count, B number of limits; then per limit: B kind, B number of its keys, and four
--          doubles a, b, cost, x whose meaning the kind's file gives.
-- ARGV[2+] strings that a limit refers to by index: instants of a schedule, holder of a place.
--
-- Time is read once, in integer microseconds, because TIME moves inside a script before Redis 7.2.
-- All arithmetic is relative to it: absolute microseconds in a double step by 0.25 us.
local operation, clock, horizon, count, limit_count, kind, key_count, a, b, cost, x =
  struct.unpack('<BddI4BBBdddd', ARGV[1])
local now = clock
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
