-- Takes so many entries of lines in the name of a worker, and has the lines wait.
--
-- ARGV[2]  the worker
-- then two for each line: '<I4ddc16c16': how many, wait (us; -1: none), when its limit was asked
-- (us), id of the limit's line, id of a group that is to stand in it; and the task as part of a key.
--
-- Answers {time, then for each entry: number of its line from 0, its task, entry id, record, line
-- id, turn of its group before, whether nobody of its group is left}.
local MOST_BYTES = 4194304 -- Of records; what is left then is for the next time.
local worker = ARGV[2]
local answer, bytes = {now}, 0
if redis.call('EXISTS', MESSAGES) == 0 then return answer end

-- The group stands in the line of another limit, whose wait would be no news of this one.
local function bring_into(line, id)
  local group = group_of(id)
  local turn = group and group.line ~= line and turn_of(group)
  if turn then stand_in_line(group, line, turn) end
end

local function take(number, task, line)
  local group, turn = next_group(task, line)
  if not group then return false end
  local entry, record, score, is_last = take_first(group)
  if not entry then return false end
  if not record then return true end
  redis.call('ZADD', KEYS[3], score, entry)
  bytes = bytes + #record
  local parts = {number, group.task_name, entry, record, line, turn, is_last and 1 or 0}
  for _, part in ipairs(parts) do answer[#answer + 1] = part end
  return true
end

local function take_all(number, task, line, count)
  for _ = 1, count do
    if bytes >= MOST_BYTES or not take(number, task, line) then return end
  end
end

local function has_waited(task, line)
  local is_waiting, score = line_is_waiting(task, line)
  return not is_waiting or score <= now
end

local function has_to_wait(task, line, wait, asked)
  if redis.call('EXISTS', line_key(task, line)) == 0 then return line_becomes_ready(task, line) end
  if has_waited(task, line) then line_becomes_ready(task, line) end
  if wait >= 0 and bytes < MOST_BYTES then line_waits(task, line, wait, asked) end
end

writes_that_free()
for n = 3, #ARGV, 2 do
  local count, wait, asked, line, group_id = struct.unpack('<I4ddc16c16', ARGV[n])
  local task = ARGV[n + 1]
  bring_into(line, group_id)
  take_all((n - 3) / 2, task, line, count)
  has_to_wait(task, line, wait, asked)
end
if bytes > 0 then redis.call('SADD', CLAIMERS, worker) end
if close() == 0 and bytes > 0 then write_counters() end
return answer
