-- Takes entries whose turn it is, in the name of a worker.
--
-- ARGV[2]  the worker       ARGV[3]  how many       ARGV[4]  lines due within so long count (us)
-- ARGV[5]  bytes of records, after which no further entry is taken
-- ARGV[6]  how many lines have room again, then their ids; then the tasks that the worker knows
--
-- Answers {time, whether the clock stepped back, us until a line is due (-1: none), then for each
-- entry: number of its task from 0, entry id, record, line id, turn of its group before, whether
-- nobody of its group is left}.
local MOST_DUE_AT_ONCE = 1000
local MOST_WOKEN = 128 -- Lines remembered; when there are more, all count as woken.
local STEP_BACK_US = 1000000

local worker, count, within = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local most_bytes, freed_count = tonumber(ARGV[5]), tonumber(ARGV[6])
local first_task = 7 + freed_count
local stepped_back = now < last_clock - STEP_BACK_US
local answer = {now, stepped_back and 1 or 0, -1}
if redis.call('EXISTS', MESSAGES) == 0 then return answer end

local function wake_freed()
  local tasks = redis.call('ZRANGE', TASKS, 0, -1)
  for n = 7, first_task - 1 do
    for _, task in ipairs(tasks) do
      if line_is_waiting(task, ARGV[n]) then line_becomes_ready(task, ARGV[n]) end
    end
    redis.call('HSET', WOKEN, ARGV[n], now)
  end
  if redis.call('HLEN', WOKEN) > MOST_WOKEN then
    redis.call('DEL', WOKEN)
    all_woken = now
  end
end

local function wake_due(task)
  local lines = redis.call('ZRANGEBYSCORE', due_key(task), 0, now, 'LIMIT', 0, MOST_DUE_AT_ONCE)
  for _, line in ipairs(lines) do line_becomes_ready(task, line) end
end

local heads = {} -- the first line of each known task that has any

local function look_at(number)
  local line, score = first_with_score(due_key(ARGV[number]))
  heads[number] = line and {line = line, score = score} or nil
end

local function lowest()
  local best
  for number, head in pairs(heads) do
    if not best or head.score < heads[best].score
        or head.score == heads[best].score and number < best then
      best = number
    end
  end
  return best
end

local bytes, claims = 0, {}

-- Takes the first entry of a group; false where a newer release wrote it.
local function take(number, group, turn)
  local line = group.line
  local entry, record, score, is_last = take_first(group)
  if entry == false then return false end
  if not record then return true end
  claims[#claims + 1] = score
  claims[#claims + 1] = entry
  bytes = bytes + #record
  for _, part in ipairs({number - first_task, entry, record, line, turn, is_last and 1 or 0}) do
    answer[#answer + 1] = part
  end
  return true
end

writes_that_free()
if freed_count > 0 then wake_freed() end
if first_task <= #ARGV then
  local scores = redis.call('ZMSCORE', TASKS, unpack(ARGV, first_task))
  for number = first_task, #ARGV do
    if scores[number - first_task + 1] then
      wake_due(ARGV[number])
      look_at(number)
    end
  end
end

while #claims < 2 * count and bytes < most_bytes do
  local number = lowest()
  if not number or heads[number].score > now + within then break end
  local group, turn = next_group(ARGV[number], heads[number].line)
  if group == false or group and not take(number, group, turn) then
    if #claims == 0 then unreadable('an entry') end
    break
  end
  look_at(number)
end

if #claims > 0 then
  redis.call('ZADD', KEYS[3], unpack(claims))
  redis.call('SADD', CLAIMERS, worker)
end
local best = lowest()
if best then answer[3] = math.max(0, heads[best].score - now) end
if close() == 0 and (#claims > 0 or freed_count > 0 or stepped_back) then write_counters() end
return answer
