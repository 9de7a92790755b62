-- Says no to a call that yields, while one of its limits is marked: others wait for it already.
--
-- KEYS[last]  where operation is 4: one mark for each limit with a state, in their order; their
--             number is ARGV[last]. Everything else is as for operation 2.
--
-- Who parks a call in the backlog marks the limit that denied it, and renews the mark for as long
-- as calls wait there. A mark dies by itself, and calls that cannot be parked do not look at it.
local QUEUED = 5

if operation == 4 then
  local first = #KEYS - tonumber(ARGV[#ARGV]) + 1
  local marks = redis.call('MGET', unpack(KEYS, first))
  for n = 1, #KEYS - first + 1 do
    if marks[n] then return {0, now, 0, n, QUEUED} end
  end
  operation = 2
end
