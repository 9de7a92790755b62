-- Entries and their records.
--
-- Entry id: 16 bytes of the task id and a number, 0 unless there are several of one task id.
--
-- Record '<BBI7c16c8', 33 bytes, then the rest: version, flags (1: it was claimed before, 2: the
-- rest begins with the task id, its length first in 2 bytes), time parked (us), group id, identity
-- of the message; the message.
local AGAIN = 1

local function is_readable(record) return string.byte(record) == 1 end
local function group_id_of(record) return string.sub(record, 10, 25) end
local function identity_of(record) return string.sub(record, 26, 33) end
local function parked_at_of(record) return (struct.unpack('<I7', record, 3)) end

local function new_record(flags, group, identity, rest)
  return struct.pack('<BBI7c16c8', 1, flags, now, group.id, identity) .. rest
end

-- The record of an entry that comes back to `group`; `again`: it may have run by now.
local function record_of_return(record, group, again)
  local flags = string.byte(record, 2)
  if again and flags % 2 == 0 then flags = flags + AGAIN end
  local parked_at, rest = string.sub(record, 3, 9), string.sub(record, 26)
  return '\1' .. string.char(flags) .. parked_at .. group.id .. rest
end

local function highest_number(id) return tonumber(redis.call('HGET', TWINS, id) or 0) end

-- Calls `use` with each entry of a task id, and its record, until that answers true.
local function each_entry(id, use)
  for number = 0, highest_number(id) do
    local entry = id .. string.char(number)
    local record = redis.call('HGET', MESSAGES, entry)
    if record and use(entry, record) then return true end
  end
  return false
end

local function forget_entry(entry)
  redis.call('HDEL', MESSAGES, entry)
  local id = string.sub(entry, 1, 16)
  if redis.call('HEXISTS', TWINS, id) == 1 and not each_entry(id, function() return true end) then
    redis.call('HDEL', TWINS, id)
  end
end

-- The worker of KEYS[3] may have nothing any more.
local function end_of_claims(worker)
  if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('SREM', CLAIMERS, worker) end
end
