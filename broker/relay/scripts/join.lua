-- Makes sure that a partition has a stream, and tells where it stands.
--
-- KEYS  1 P:{k}:meta   2 P:{k}:log        see publish.lua
-- ARGV  1 name for a new stream   2, 3 a name that was seen, and its head ('' 0: none)
--
-- Returns {name, head, ms}: the stream, the offset of the latest publication (0: none yet), and its ms (of an
-- empty stream: when it began). A new stream begins as in publish.lua.

local found = redis.call('HMGET', KEYS[1], 's', 'o', 't')
local name, head, before = found[1], tonumber(found[2]), tonumber(found[3]) or 0
if name and head and not (name == ARGV[2] and head < tonumber(ARGV[3])) then
    return {name, head, before}
end
local now = redis.call('TIME')
local ms = math.max(before, now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('XLEN', KEYS[2]) -- fails where it is somebody else's
redis.call('UNLINK', KEYS[2])
redis.call('HSET', KEYS[1], 's', ARGV[1], 'o', 0, 't', ms, 'z', 0, 'c', '')
return {ARGV[1], 0, ms}
