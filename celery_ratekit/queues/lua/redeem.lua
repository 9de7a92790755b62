-- Uses up what is known of a task's charge: a second delivery of its message finds none.
--
-- ARGV[3]  16 bytes of the task's id
-- Answers when it was charged, and how long ago that is (us; -1: it is to start all the same); nil
-- where it was not.
-- One that nobody has submitted, such as a later task of a chain, is open from here on.
redis.call('HDEL', BEGUN, ARGV[3]) -- It was sent again, as a retry is.
local found = redis.call('HGET', OPEN, ARGV[3])
if not found and redis.call('HEXISTS', QUEUES, name) == 1 then
  redis.call('HSET', OPEN, ARGV[3], '')
  touch()
end
local kind = found and string.sub(found, 1, 1) or ''
if kind ~= 'p' and kind ~= 'd' then return nil end
redis.call('HSET', OPEN, ARGV[3], '')
local charged = tonumber(string.sub(found, 2))
if kind == 'd' then return {charged, -1} end
return {charged, math.max(0, now - charged)}
