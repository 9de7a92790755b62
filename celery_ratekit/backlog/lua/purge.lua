-- Removes waiting entries of some groups.
--
-- ARGV[1]  how many at most       ARGV[2+]  group ids
-- Answers {how many were removed, whether the backlog is drained, and of each removed one the
-- number of its group among those that were given, from 0, and 16 bytes of its task's id}.
local left, removed, gone = tonumber(ARGV[1]), 0, {}
writes_that_free()
for n = 2, #ARGV do
  local group = group_of(ARGV[n])
  if group == false then unreadable('a group') end
  if group and removed < left then
    local entries = redis.call('ZRANGE', group_key(group), 0, left - removed - 1)
    for _, entry in ipairs(entries) do
      leave_group(group, entry)
      forget_entry(entry)
      gone[#gone + 1] = n - 2
      gone[#gone + 1] = string.sub(entry, 1, 16)
    end
    removed = removed + #entries
    if #entries > 0 then line_changed(group.task, group.line) end
    forget_unused(group)
  end
end
if removed == 0 then return {0, 0, gone} end
return {removed, close(), gone}
