-- Counts a task whose worker died, unless somebody has told of its end, or begun it again.
--
-- ARGV[3]  16 bytes of the task's id       ARGV[4]  the note that was found of it
-- ARGV[5]  the counter; empty: the task comes again, only the note goes
-- Answers whether it was counted.
if redis.call('HGET', BEGUN, ARGV[3]) ~= ARGV[4] then return 0 end
redis.call('HDEL', BEGUN, ARGV[3])
if ARGV[5] == '' or redis.call('HDEL', OPEN, ARGV[3]) == 0 then return 0 end
redis.call('HINCRBY', COUNTERS, ARGV[5], 1)
touch()
return 1
