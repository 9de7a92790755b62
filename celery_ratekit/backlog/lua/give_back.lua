-- Puts entries that a worker had claimed back to their places; others than its own are left alone.
--
-- ARGV[2]   the worker
-- ARGV[3]   number of groups, then for each its id and the fixed part of its info
-- then for each entry '<I2Bdddc16c17': number of its group (0: the one it was in), 1 where a limit
-- said no to it, turn of its group before the claim (us; 0: the time at which it was parked), wait
-- (us), when the limit was asked (us; 0: not known), line id of the limit, entry id.
--
-- An entry to which no limit said no may have run: it is marked.
-- Answers how many the worker still had.
local worker, group_count = ARGV[2], tonumber(ARGV[3])
local known = {}
for n = 1, group_count do
  local id, fixed = ARGV[2 + 2 * n], ARGV[3 + 2 * n]
  local group = group_of(id)
  if group == false then unreadable('a group') end
  known[n] = group or new_group(id, fixed)
end

-- The group's line and turn with this entry in it again.
local function place_of_return(group, line, turn)
  local present = turn_of(group)
  if present then return line or group.line, math.min(turn, present) end
  return line or group.line, turn
end

local function put_back(group, entry, score, line, turn)
  line, turn = place_of_return(group, line, turn)
  join_group(group, entry, score)
  stand_in_line(group, line, turn)
end

writes_that_free()
local returned = 0
for n = 4 + 2 * group_count, #ARGV do
  local number, is_blocked, turn, wait, asked, line, entry = struct.unpack('<I2Bdddc16c17', ARGV[n])
  local score = redis.call('ZSCORE', KEYS[3], entry)
  local record = score and redis.call('HGET', MESSAGES, entry)
  local old = record and group_of(group_id_of(record))
  if old then
    local group, again = known[number] or old, is_blocked == 0
    returned = returned + 1
    redis.call('ZREM', KEYS[3], entry)
    if again or group ~= old then
      redis.call('HSET', MESSAGES, entry, record_of_return(record, group, again))
    end
    if turn == 0 then turn = parked_at_of(record) end
    put_back(group, entry, score, is_blocked == 1 and line or nil, turn)
    if is_blocked == 1 then
      line_waits(group.task, line, wait, asked)
    else
      line_changed(group.task, group.line)
    end
    count_claimed(old, -1)
    if group ~= old then forget_unused(old) end
  end
end
end_of_claims(worker)
if close() == 0 and returned > 0 then write_counters() end
return returned
