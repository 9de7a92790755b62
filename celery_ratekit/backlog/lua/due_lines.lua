-- Tells of lines that are due, and where a group waits for a limit whose name has some beginning.
-- Writes nothing.
--
-- ARGV[2]  the beginning      ARGV[3]  how many lines      ARGV[4]  count no more entries of each
-- Answers {time, whether the clock stepped back, us until a further line is due (-1: none), whether
-- there are more lines now, then for each line: its task as part of a key, id of its next such
-- group, name of the limit, how many entries wait, turn of the group}. A line of another limit
-- counts with that group alone.
local STEP_BACK_US = 1000000
local MOST_LOOKED_AT = 1000 -- Lines of one task; others may be due, that somebody else serves.
local MOST_GROUPS = 100 -- Of one line.
local MOST_OTHERS = 10 -- Groups of one line without such a limit, before the first that has one.

local beginning, most_lines, most_entries = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local soonest = math.huge
local answer = {now, now < last_clock - STEP_BACK_US and 1 or 0, -1, 0}

local function limit_of(group)
  for _, limit in ipairs(group.limits) do
    if string.sub(limit.name, 1, #beginning) == beginning then return limit end
  end
end

local function first_of(key)
  for _, id in ipairs(redis.call('ZRANGE', key, 0, MOST_OTHERS - 1)) do
    local group = group_of(id)
    local limit = group and limit_of(group)
    if limit then return group, limit end
  end
end

local function size_of_group(id) return redis.call('ZCARD', prefix .. 'g' .. id) end

local function size_of_line(key)
  local size = 0
  for _, id in ipairs(redis.call('ZRANGE', key, 0, MOST_GROUPS - 1)) do
    size = size + size_of_group(id)
    if size >= most_entries then return most_entries end
  end
  return size
end

local function add(task, line)
  local key = line_key(task, line)
  local group, limit = first_of(key)
  if not group then return 0 end
  local size = limit.line == line and size_of_line(key) or size_of_group(group.id)
  local parts = {task, group.id, limit.name, math.min(size, most_entries), turn_of(group)}
  for _, part in ipairs(parts) do answer[#answer + 1] = part end
  return 1
end

local function look_at(task, most)
  local lines = redis.call('ZRANGEBYSCORE', due_key(task), '-inf', now, 'LIMIT', 0, MOST_LOOKED_AT)
  local count = 0
  for _, line in ipairs(lines) do
    if count == most then
      answer[4] = 1
      break
    end
    count = count + add(task, line)
  end
  local next = redis.call(
    'ZRANGEBYSCORE', due_key(task), '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if next[2] then soonest = math.min(soonest, tonumber(next[2]) - now) end
end

local tasks = redis.call('ZRANGE', TASKS, 0, -1)
for _, task in ipairs(tasks) do look_at(task, math.ceil(most_lines / #tasks)) end
if soonest < math.huge then answer[3] = soonest end
return answer
