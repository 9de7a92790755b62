-- Counts the limiters that were heard of lately, this one included.
--
-- KEYS[1]  a sorted set of limiters by the time they were last heard (us)
-- ARGV[1]  packed '<d': after how long one counts as gone (us)      ARGV[2]  this limiter's id
local gone_after = struct.unpack('<d', ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - gone_after))
redis.call('PEXPIRE', KEYS[1], math.ceil(gone_after / 1000))
return redis.call('ZCARD', KEYS[1])
