-- Makes a queue, unless there is one of that name.
--
-- ARGV[3]  its record    ARGV[4]  1: it was named automatically     ARGV[5]  the most queues
-- Answers 1; 0 where there is one; -1 where there are too many.
if redis.call('HEXISTS', QUEUES, name) == 1 then return 0 end
if redis.call('HLEN', QUEUES) >= tonumber(ARGV[5]) then return -1 end
redis.call('HSET', QUEUES, name, ARGV[3])
redis.call('DEL', OPEN, COUNTERS)
if ARGV[4] == '1' then redis.call('ZADD', USED, now, name) end
redis.call('INCR', VERSION)
return 1
