-- Takes note of tasks that are on their way.
--
-- ARGV[3]  what is known of their charge       ARGV[4+]  16 bytes of each task's id
-- Answers whether the queue is there.
if redis.call('HEXISTS', QUEUES, name) == 0 then return 0 end
for n = 4, #ARGV do redis.call('HSET', OPEN, ARGV[n], ARGV[3]) end
touch()
return 1
