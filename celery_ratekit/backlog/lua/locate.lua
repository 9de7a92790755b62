-- Where the entries of a task id are. Writes nothing.
--
-- ARGV[2]  16 bytes of the task id
-- Answers for the entry that waits longest, or else one that is claimed: {task, head of the record,
-- 1 if it waits, how many of its group come before it, how many groups of its line do, us until its
-- line is due, name of the limit in whose line its group stands, how many groups stand there};
-- nothing where there is none.
local best, best_score, claimed

each_entry(ARGV[2], function(entry, record)
  local group = is_readable(record) and group_of(group_id_of(record))
  if not group then return false end
  local rank = redis.call('ZRANK', group_key(group), entry)
  local place = {group = group, record = record, rank = rank}
  if not rank then
    claimed = claimed or place
  else
    local score = tonumber(redis.call('ZSCORE', group_key(group), entry))
    if not best or score < best_score then best, best_score = place, score end
  end
  return false
end)

local found = best or claimed
if not found then return {} end
local group = found.group
local name = name_of_line(group, group.line) or ''
local head = string.sub(found.record, 1, 33)
if not best then return {group.task_name, head, 0, 0, 0, 0, name, 0} end
local groups_before = redis.call('ZRANK', line_key(group.task, group.line), group.id) or 0
local due = tonumber(redis.call('ZSCORE', due_key(group.task), group.line)) or 0
if due > 0 then due = math.max(0, due - now) else due = 0 end
local groups = redis.call('ZCARD', line_key(group.task, group.line))
return {group.task_name, head, 1, found.rank, groups_before, due, name, groups}
