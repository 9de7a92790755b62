-- Takes note that a task is over. Answers 1 where it was open.
--
-- ARGV[3]  the counter, empty for none         ARGV[4]  16 bytes of the task's id
redis.call('HDEL', BEGUN, ARGV[4])
if redis.call('HDEL', OPEN, ARGV[4]) == 0 then return 0 end
if ARGV[3] ~= '' then redis.call('HINCRBY', COUNTERS, ARGV[3], 1) end
touch()
return 1
