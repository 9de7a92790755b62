-- When the oldest waiting entry of some groups was parked. Writes nothing.
--
-- ARGV[1+]  group ids
-- Answers the time (us), or nothing. Of one rank, the first of a group is the oldest.
local oldest

for n = 1, #ARGV do
  local key, least = prefix .. 'g' .. ARGV[n], 0
  while true do
    local first = redis.call('ZRANGEBYSCORE', key, least, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not first[1] then break end
    local record = redis.call('HGET', MESSAGES, first[1])
    if record and is_readable(record) then
      local parked_at = parked_at_of(record)
      if not oldest or parked_at < oldest then oldest = parked_at end
    end
    least = (math.floor(tonumber(first[2]) / RANK) + 1) * RANK
  end
end
return oldest
