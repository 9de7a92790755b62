-- Claims the waiting entries of some task ids wherever they wait.
--
-- ARGV[1]  the worker      ARGV[2+]  16 bytes of each task id
-- Answers for each entry: its task, entry id, record, line id, turn of its group, whether nobody of
-- its group is left.
local worker = ARGV[1]
local answer = {}

local function take(entry, record)
  local group = is_readable(record) and group_of(group_id_of(record))
  local score = group and redis.call('ZSCORE', group_key(group), entry)
  if not score then return false end
  local turn = turn_of(group)
  local is_last = leave_group(group, entry)
  line_changed(group.task, group.line)
  count_claimed(group, 1)
  redis.call('ZADD', KEYS[3], score, entry)
  redis.call('SADD', CLAIMERS, worker)
  for _, part in ipairs({group.task_name, entry, record, group.line, turn, is_last and 1 or 0}) do
    answer[#answer + 1] = part
  end
  return false
end

writes_that_free()
for n = 2, #ARGV do each_entry(ARGV[n], take) end
if #answer > 0 then close() end
return answer
