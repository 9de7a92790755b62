-- The entries that wait, in the order in which their turn comes if every limit says yes; those
-- whose limit is not to be asked yet come last. Writes nothing.
--
-- ARGV[1]  how many      ARGV[2]  empty, or the name of a limit that they all have
-- Answers for each entry: task, entry id, head of the record with the task id if it is in there,
-- how many of its group come before it, name of the limit in whose line its group stands.
local MOST_LINES, MOST_GROUPS = 2000, 10000 -- That are looked through for the name of a limit.
local HEAD_BYTES = 33 + 2 + 512

local count, name = tonumber(ARGV[1]), ARGV[2]
local any = name == ''

local function has_name(group)
  for _, one in ipairs(group.names) do
    if one == name then return true end
  end
  return any
end

-- What is ready comes first, in the order of turns.
local function comes_first(a, b)
  if a.due ~= b.due then return a.due < b.due end
  return a.turn < b.turn
end

local function first_lines()
  local most, lines = any and count or MOST_LINES, {}
  for _, task in ipairs(redis.call('ZRANGE', TASKS, 0, -1)) do
    local found = redis.call('ZRANGE', due_key(task), 0, most - 1, 'WITHSCORES')
    for n = 1, #found, 2 do
      local score = tonumber(found[n + 1])
      lines[#lines + 1] = {key = line_key(task, found[n]), due = math.max(score, -1), turn = score}
    end
  end
  table.sort(lines, comes_first)
  return {unpack(lines, 1, math.min(most, #lines))}
end

local function first_groups()
  local found, left = {}, MOST_GROUPS
  for _, line in ipairs(first_lines()) do
    local ids = redis.call('ZRANGE', line.key, 0, (any and count or left) - 1, 'WITHSCORES')
    left = left - #ids / 2
    for n = 1, #ids, 2 do
      local group = group_of(ids[n])
      if group and has_name(group) then
        found[#found + 1] = {group = group, due = line.due, turn = tonumber(ids[n + 1])}
      end
    end
    if left <= 0 then break end
  end
  table.sort(found, comes_first)
  return found
end

local answer, seen, round = {}, 0, 0
local places = first_groups()
while #places > 0 and seen < count do
  local going_on = {}
  for _, place in ipairs(places) do
    local group = place.group
    local entry = redis.call('ZRANGE', group_key(group), round, round)[1]
    local record = entry and redis.call('HGET', MESSAGES, entry)
    if entry then going_on[#going_on + 1] = place end
    if record and is_readable(record) and seen < count then
      seen = seen + 1
      local head = string.sub(record, 1, HEAD_BYTES)
      local limit_name = name_of_line(group, group.line) or ''
      for _, part in ipairs({group.task_name, entry, head, round, limit_name}) do
        answer[#answer + 1] = part
      end
    end
  end
  places, round = going_on, round + 1
end
return answer
