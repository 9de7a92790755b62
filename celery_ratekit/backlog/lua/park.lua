-- Stores messages that wait.
--
-- ARGV[2]   the most entries that may be here for the limit that said no, by its name, with those
--           that are claimed, which may come back; -1: any number
-- ARGV[3]   number of groups, then for each its id and the fixed part of its info
-- then      receipts that are not needed any more, 8 bytes each
-- then two for each message: '<I2BBBddc16c16c8c8': number of its group, rank, flags, whether it may
-- be stored, wait (us), when the limit was asked (us; 0: not known), line id, 16 bytes of the task
-- id, identity, token (0: none); and what follows the head of the record.
--
-- KEYS[3]   receipts of whoever asks: tokens of what it has parked. It keeps them until it has said
-- that it had the answer, or for a while: a message that was stored, and is over, is not stored
-- again because the answer to the first time was lost.
--
-- Answers {time, whether nothing was stored before, 1 or 0 for each: it is stored}.
local MOST_NUMBER = 255
local RECEIPTS, RECEIPT_MS = KEYS[3], 15000
local NO_TOKEN = string.rep('\0', 8)

local most, group_count = tonumber(ARGV[2]), tonumber(ARGV[3])
local known = {}
for n = 1, group_count do
  local id, fixed = ARGV[2 + 2 * n], ARGV[3 + 2 * n]
  local group = group_of(id)
  if group == false then unreadable('a group') end
  if not group then
    group = new_group(id, fixed)
  end
  known[n] = group
end

-- An id for a new entry and whether its number is the highest by now; or nil and whether the
-- message is stored already: if not, there are too many of its task id.
local function entry_for(id, identity, may_be_stored)
  local highest, free = highest_number(id), nil
  for number = 0, highest do
    local entry = id .. string.char(number)
    local record = redis.call('HGET', MESSAGES, entry)
    if not record then
      free = free or number
    elseif may_be_stored and identity_of(record) == identity then
      return nil, true
    end
  end
  free = free or highest + 1
  if free > MOST_NUMBER then return nil, false end
  return id .. string.char(free), free > highest
end

local function has_room(group, line)
  local name = most >= 0 and name_of_line(group, line)
  return not name or size_of('n' .. name) + size_of('k' .. name) < most
end

-- A group that begins to wait stands last in the line of the limit that said no. One that waits
-- already stays where its first entry put it.
local function begin_to_wait(group, line, wait, asked)
  group.line = line
  write_group(group)
  local is_new_line = redis.call('EXISTS', line_key(group.task, line)) == 0
  redis.call('ZADD', line_key(group.task, line), next_turn(), group.id)
  if is_new_line or line_is_waiting(group.task, line) then
    line_waits(group.task, line, wait, asked)
  end
end

local function take_back_receipts(tokens)
  for at = 1, #tokens, 8 do
    redis.call('HDEL', RECEIPTS, string.sub(tokens, at, at + 7))
  end
end

local function has_receipt(token)
  return token ~= NO_TOKEN and redis.call('HEXISTS', RECEIPTS, token) == 1
end

take_back_receipts(ARGV[4 + 2 * group_count])
local receipts = {}
local was_empty = redis.call('EXISTS', MESSAGES) == 0
local answer = {now, was_empty and 1 or 0}
for n = 5 + 2 * group_count, #ARGV, 2 do
  local number, rank, flags, may_be_stored, wait, asked, line, id, identity, token =
    struct.unpack('<I2BBBddc16c16c8c8', ARGV[n])
  local group = known[number]
  local entry, is_so = nil, true
  if may_be_stored == 0 or not has_receipt(token) then
    entry, is_so = entry_for(id, identity, may_be_stored == 1)
  end
  local is_stored = is_so
  if entry then
    is_stored = has_room(group, line)
    if is_stored then
      redis.call('HSET', MESSAGES, entry, new_record(flags, group, identity, ARGV[n + 1]))
      if is_so then redis.call('HSET', TWINS, id, string.byte(entry, 17)) end
      sequence = sequence + 1
      if join_group(group, entry, rank * RANK + sequence) then
        begin_to_wait(group, line, wait, asked)
      end
    end
  end
  answer[#answer + 1] = is_stored and 1 or 0
  if is_stored and token ~= NO_TOKEN then
    receipts[#receipts + 1] = token
    receipts[#receipts + 1] = ''
  end
end
if receipts[1] then
  redis.call('HSET', RECEIPTS, unpack(receipts))
  redis.call('PEXPIRE', RECEIPTS, RECEIPT_MS)
end
if close() == 0 then write_counters() end
return answer
