-- What every script of the backlog knows of its queue.
--
-- KEYS[1]  what the names of all keys of the queue begin with; no key itself. Many keys are named
--          after what is stored (groups, lines), so the scripts put their names together here: all
--          share the hash tag of KEYS[1], and so its slot.
-- KEYS[2]  the messages. Of two keys one is never there, so that Redis Cluster runs no script while
--          the slot moves from one node to another and half of the queue is on either.
-- KEYS[3]  the claims of one worker, in scripts that need them: entry id -> score in its group
--
-- m    messages: entry id -> record (entries.lua)
-- g..  a group's waiting entries: entry id -> rank * 2^44 + sequence, by group id
-- l..  a line, the groups of one task that wait for one limit: group id -> turn, by line and task
-- d..  the lines of a task: line id -> when to ask (us), or turn - 2^52 where it is ready
-- t    tasks -> the lowest score of their lines
-- i    groups that have entries: group id -> info (groups.lua)
-- r    claimed entries by group id        x  task ids that had two entries -> the highest number
-- s    sizes (groups.lua)                 c  workers that have claims
-- n    counters (turns.lua)               w  lines woken lately -> when (us) (lines.lua)
local READY = 4503599627370496
local RANK = 17592186044416
local prefix = KEYS[1]
local MESSAGES, GROUPS, TASKS, SIZES = KEYS[2], prefix .. 'i', prefix .. 't', prefix .. 's'
local CLAIMED, TWINS, CLAIMERS = prefix .. 'r', prefix .. 'x', prefix .. 'c'
local COUNTERS, WOKEN = prefix .. 'n', prefix .. 'w'

local function unreadable(what)
  error('RATEKIT_STATE_VERSION ' .. what .. ' of a backlog is of an unknown version')
end

-- A command that writes nothing. Redis refuses the first write that could take memory when it has
-- none, and no later one: what only moves or removes entries begins with this, so that a full Redis
-- can be drained.
local function writes_that_free()
  redis.call('HDEL', SIZES, '')
end
