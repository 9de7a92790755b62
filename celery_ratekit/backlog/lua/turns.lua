-- Time and turns.
--
-- ARGV[1]  clock (us; 0: the server's)
--
-- Counters: s the last sequence number, t the last turn, c the clock when they were written, w when
-- all lines were woken at once. A turn is the time, or one more than the last turn: turns never
-- repeat, also where the clock stands or steps back.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local counters = redis.call('HMGET', COUNTERS, 's', 't', 'c', 'w')
local sequence, last_turn = tonumber(counters[1] or 0), tonumber(counters[2] or 0)
local last_clock, all_woken = tonumber(counters[3] or 0), tonumber(counters[4] or 0)

local function next_turn()
  last_turn = math.max(now, last_turn + 1)
  return last_turn
end

local function write_counters()
  redis.call('HSET', COUNTERS, 's', sequence, 't', last_turn, 'c', now, 'w', all_woken)
end
