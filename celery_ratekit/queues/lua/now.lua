-- What every script of the throttled queues knows.
--
-- KEYS[1]  the queues of one prefix: name -> record (records.py)
-- KEYS[2]  auto-named queues by when they were last used (us)
-- KEYS[3]  a number that grows whenever a queue is changed or removed
-- KEYS[4]  the open tasks of one queue: 16 bytes of the task id -> '', 'p' and when its
--          sending was charged (us), or 'd' and that where a dispatcher sent it
-- KEYS[5]  counters of one queue: completed, failed, and what users count
-- KEYS[6]  16 bytes of a task's id -> who runs it, where nobody else would tell of its end
-- ARGV[1]  clock (us; 0: the server's)       ARGV[2]  name of the queue
local QUEUES, USED, VERSION, OPEN, COUNTERS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local BEGUN = KEYS[6]
local name = ARGV[2]
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function touch() redis.call('ZADD', USED, 'XX', now, name) end

local function forget()
  redis.call('HDEL', QUEUES, name)
  redis.call('ZREM', USED, name)
  redis.call('DEL', OPEN, COUNTERS)
  redis.call('INCR', VERSION)
end
