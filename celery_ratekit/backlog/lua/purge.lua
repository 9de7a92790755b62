-- Removes waiting entries of some groups.
--
-- ARGV[1]  how many at most       ARGV[2+]  group ids
-- Answers {how many were removed, whether the backlog is drained}.
local left, removed = tonumber(ARGV[1]), 0
writes_that_free()
for n = 2, #ARGV do
  local group = group_of(ARGV[n])
  if group == false then unreadable('a group') end
  if group and removed < left then
    local entries = redis.call('ZRANGE', group_key(group), 0, left - removed - 1)
    for _, entry in ipairs(entries) do
      leave_group(group, entry)
      forget_entry(entry)
    end
    removed = removed + #entries
    if #entries > 0 then line_changed(group.task, group.line) end
    forget_unused(group)
  end
end
if removed == 0 then return {0, 0} end
return {removed, close()}
