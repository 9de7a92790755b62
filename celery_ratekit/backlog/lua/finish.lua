-- Forgets entries that a worker is done with; others than its own are left alone.
--
-- ARGV[1]  the worker       ARGV[2+]  entry ids
-- Answers {how many it still had, whether the backlog is drained}.
writes_that_free()
local done = 0
for n = 2, #ARGV do
  local entry = ARGV[n]
  if redis.call('ZREM', KEYS[3], entry) == 1 then
    done = done + 1
    local record = redis.call('HGET', MESSAGES, entry)
    local group = record and group_of(group_id_of(record))
    forget_entry(entry)
    if group then
      count_claimed(group, -1)
      forget_unused(group)
    end
  end
end
if done == 0 then return {0, 0} end
end_of_claims(ARGV[1])
return {done, close()}
