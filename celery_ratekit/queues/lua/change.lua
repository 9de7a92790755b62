-- Puts a record in the place of another.
--
-- ARGV[3]  the record that is expected     ARGV[4]  the new one
-- Answers 1; the record that is there where it is another; nil where there is none.
local found = redis.call('HGET', QUEUES, name)
if found ~= ARGV[3] then return found end
redis.call('HSET', QUEUES, name, ARGV[4])
redis.call('INCR', VERSION)
touch()
return 1
