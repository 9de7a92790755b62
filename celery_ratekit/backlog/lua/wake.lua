-- Makes lines of a task ready, and notes that what a limit said before may not be true any more.
--
-- ARGV[2]  the task as part of a key       ARGV[3+]  line ids, possibly none
-- Answers how many of them waited.
if redis.call('EXISTS', MESSAGES) == 0 then return 0 end
writes_that_free()
local woken = 0
for n = 3, #ARGV do
  if line_is_waiting(ARGV[2], ARGV[n]) then
    line_becomes_ready(ARGV[2], ARGV[n])
    woken = woken + 1
  end
end
all_woken = now
if close() == 0 then write_counters() end
return woken
