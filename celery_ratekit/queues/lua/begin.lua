-- Takes note of who runs a task whose message is acknowledged before it ends: if that one dies,
-- nobody else will tell of the end. What is over by now is left alone.
--
-- ARGV[3]  16 bytes of the task's id       ARGV[4]  the note (lost.py)
-- Answers whether the task is open.
if redis.call('HEXISTS', OPEN, ARGV[3]) == 0 then return 0 end
redis.call('HSET', BEGUN, ARGV[3], ARGV[4])
return 1
