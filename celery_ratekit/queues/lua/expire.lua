-- Removes auto-named queues that hold nothing and were not used for a time.
--
-- ARGV[3]  that time (us)      ARGV[4]  how many to look at
-- KEYS[4] and KEYS[5] are here what the names of those keys begin with: automatic names hold
-- nothing that would have to be encoded, and all share one hash tag.
-- Answers how many were removed, and how many were looked at.
local open_prefix, counters_prefix = OPEN, COUNTERS
local found = redis.call('ZRANGEBYSCORE', USED, '-inf', now - tonumber(ARGV[3]), 'LIMIT', 0, ARGV[4])
local removed = 0
for _, one in ipairs(found) do
  name, OPEN, COUNTERS = one, open_prefix .. one, counters_prefix .. one
  if redis.call('EXISTS', OPEN) == 1 then
    touch()
  else
    forget()
    removed = removed + 1
  end
end
return {removed, #found}
