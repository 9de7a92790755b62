-- Lines: the groups of one task that wait for the same limit.
--
-- A line is ready, with the turn of its next group, or waits until its limit is worth asking again.
local ASKED_WITHIN_US = 100000 -- Where it is not known when a limit was asked.
local touched = {} -- tasks whose lines changed

local function line_key(task, line) return prefix .. 'l' .. line .. task end
local function due_key(task) return prefix .. 'd' .. task end

local function first_with_score(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2])
end

local function line_is_waiting(task, line)
  local score = tonumber(redis.call('ZSCORE', due_key(task), line))
  return score ~= nil and score >= 0, score
end

local function line_becomes_ready(task, line)
  touched[task] = true
  local _, turn = first_with_score(line_key(task, line))
  if turn then
    redis.call('ZADD', due_key(task), turn - READY, line)
  else
    redis.call('ZREM', due_key(task), line)
  end
end

-- After its groups changed: a line that waits goes on to wait.
local function line_changed(task, line)
  if not line_is_waiting(task, line) or redis.call('EXISTS', line_key(task, line)) == 0 then
    line_becomes_ready(task, line)
  end
end

-- When the line's limit was last said to have room again.
local function woken_at(line)
  return math.max(all_woken, tonumber(redis.call('HGET', WOKEN, line) or 0))
end

-- The limit said no at `asked` (0: not known, so lately). Of several waits the shortest counts; a
-- word that the limit has room again, which came after it was asked, counts more than its no.
local function line_waits(task, line, wait, asked)
  if asked == 0 then asked = now - ASKED_WITHIN_US end
  if wait <= 0 or woken_at(line) >= asked then return line_becomes_ready(task, line) end
  touched[task] = true
  local is_waiting, score = line_is_waiting(task, line)
  if not is_waiting or now + wait < score then
    redis.call('ZADD', due_key(task), now + wait, line)
  end
end

local function write_tasks()
  for task in pairs(touched) do
    local _, score = first_with_score(due_key(task))
    if score then
      redis.call('ZADD', TASKS, score, task)
    else
      redis.call('ZREM', TASKS, task)
    end
  end
end
