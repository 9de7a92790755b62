-- Who is first: the next group of a line, and the first entry of a group.

-- The next group in a line and its turn; false where a newer release wrote it. What stands in the
-- line without entries, which no script leaves behind, is taken away: nil.
local function next_group(task, line)
  local id, turn = first_with_score(line_key(task, line))
  local group = id and group_of(id)
  if group == false then return false end
  if not group or redis.call('EXISTS', group_key(group)) == 0 then
    if id then redis.call('ZREM', line_key(task, line), id) end
    line_becomes_ready(task, line)
    return nil
  end
  return group, turn
end

-- Takes the first entry out of a group, which stands last in its line then: the entry, its record
-- (nil where it was gone), its score, and whether nobody of the group is left. false where a newer
-- release wrote it.
local function take_first(group)
  local entry, score = first_with_score(group_key(group))
  local record = redis.call('HGET', MESSAGES, entry)
  if record and not is_readable(record) then return false end
  local line = group.line
  local is_last = leave_group(group, entry)
  if not is_last then redis.call('ZADD', line_key(group.task, line), next_turn(), group.id) end
  line_becomes_ready(group.task, line)
  if not record then
    forget_unused(group)
    return entry, nil
  end
  count_claimed(group, 1)
  return entry, record, score, is_last
end
