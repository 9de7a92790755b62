-- All overrides, and what is declared.
--
-- ARGV[1]  packed '<d': clock (us; 0: the server's)
-- Answers {time, fields and records, declarations and until when they count (us)}.
local now = read_clock(struct.unpack('<d', ARGV[1]))
return {now, redis.call('HGETALL', KEYS[1]),
  redis.call('ZRANGEBYSCORE', KEYS[2], string.format('(%.0f', now), '+inf', 'WITHSCORES')}
