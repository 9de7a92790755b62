-- Groups: their info, their place in a line, and the sizes that are kept of them.
--
-- Info: version 1 in a byte, id of the line (16 bytes), and what never changes: the task as part of
-- a key, the task, the number of different limit names and the names, the number of limits and each
-- limit's line id (16), hash of its key (8) and the number of its name. Texts are preceded by their
-- length in 4 bytes, numbers have 2.
--
-- Sizes: w waiting entries, c claimed entries, g groups that wait, t.. waiting entries by task,
-- n.. by name of a limit that the group has, k.. claimed ones by that name. What is 0 is not there.
local groups, changes = {}, {}

local function read_group(id, info)
  if string.byte(info) ~= 1 then return nil end
  local group = {id = id, line = string.sub(info, 2, 17), fixed = string.sub(info, 18)}
  local names, limits, at, name = 0, 0, 0, ''
  group.task, group.task_name, names, at = struct.unpack('<I4c0I4c0I2', group.fixed)
  group.names, group.limits = {}, {}
  for n = 1, names do
    name, at = struct.unpack('<I4c0', group.fixed, at)
    group.names[n] = name
  end
  limits, at = struct.unpack('<I2', group.fixed, at)
  for n = 1, limits do
    local line, key, number
    line, key, number, at = struct.unpack('<c16c8I2', group.fixed, at)
    group.limits[n] = {line = line, key = key, name = group.names[number]}
  end
  return group
end

-- A group of which nothing is stored yet; written by whoever puts an entry into it.
local function new_group(id, fixed)
  local group = read_group(id, '\1' .. string.rep('\0', 16) .. fixed)
  if group.limits[1] then group.line = group.limits[1].line end
  group.is_unwritten = true
  groups[id] = group
  return group
end

-- The group, nil where there is none, or false where it is of an unknown version.
local function group_of(id)
  if not groups[id] then
    local info = redis.call('HGET', GROUPS, id)
    if not info then return nil end
    groups[id] = read_group(id, info) or false
  end
  return groups[id]
end

local function group_key(group) return prefix .. 'g' .. group.id end

local function name_of_line(group, line)
  for _, limit in ipairs(group.limits) do
    if limit.line == line then return limit.name end
  end
end

local function write_group(group)
  redis.call('HSET', GROUPS, group.id, '\1' .. group.line .. group.fixed)
  group.is_unwritten = false
end

local function change(field, by) changes[field] = (changes[field] or 0) + by end

local function size_of(field)
  return tonumber(redis.call('HGET', SIZES, field) or 0) + (changes[field] or 0)
end

local function count_waiting(group, by)
  change('w', by)
  change('t' .. group.task_name, by)
  for _, name in ipairs(group.names) do change('n' .. name, by) end
end

local function count_claimed(group, by)
  change('c', by)
  for _, name in ipairs(group.names) do change('k' .. name, by) end
  if redis.call('HINCRBY', CLAIMED, group.id, by) == 0 then
    redis.call('HDEL', CLAIMED, group.id)
  end
end

local function forget_unused(group)
  if redis.call('EXISTS', group_key(group)) == 0
      and redis.call('HEXISTS', CLAIMED, group.id) == 0 then
    redis.call('HDEL', GROUPS, group.id)
    group.is_unwritten = true
  end
end

local function turn_of(group)
  return tonumber(redis.call('ZSCORE', line_key(group.task, group.line), group.id))
end

-- Puts the group into a line, or moves it there; it has an entry by now.
local function stand_in_line(group, line, turn)
  if group.is_unwritten or group.line ~= line then
    local old = group.line
    if redis.call('ZREM', line_key(group.task, old), group.id) == 1 then
      line_changed(group.task, old)
    end
    group.line = line
    write_group(group)
  end
  redis.call('ZADD', line_key(group.task, line), turn, group.id)
end

local function leave_line(group)
  change('g', -1)
  redis.call('ZREM', line_key(group.task, group.line), group.id)
end

-- Takes a waiting entry out of its group; tells whether nobody of the group is left.
local function leave_group(group, entry)
  redis.call('ZREM', group_key(group), entry)
  count_waiting(group, -1)
  if redis.call('EXISTS', group_key(group)) == 1 then return false end
  leave_line(group)
  return true
end

-- Puts an entry into its group; tells whether the group was empty before.
local function join_group(group, entry, score)
  local was_empty = redis.call('EXISTS', group_key(group)) == 0
  if was_empty then change('g', 1) end
  redis.call('ZADD', group_key(group), score, entry)
  count_waiting(group, 1)
  return was_empty
end

-- Ends a script that wrote; tells whether the backlog is drained, in which case no key is left.
local function close()
  for field, by in pairs(changes) do
    if by ~= 0 and redis.call('HINCRBY', SIZES, field, by) == 0 then
      redis.call('HDEL', SIZES, field)
    end
  end
  write_tasks()
  if redis.call('EXISTS', MESSAGES) == 1 then return 0 end
  redis.call('DEL', COUNTERS, WOKEN, SIZES, GROUPS, CLAIMED, TASKS, TWINS, CLAIMERS)
  return 1
end
