-- Makes sure that a partition has a stream, and tells where it stands.
--
-- KEYS  1 P:{k}:meta   2 P:{k}:log        see publish.lua
-- ARGV  1 name for a new stream   2 the life of Redis, as publish.lua has it
--       3 when the latest stream began that was seen (0: none)
--       from 4 on pairs: the name of a stream that was seen, and its head ('' 0: none)
--
-- Returns {name, head, ms, b, h}: the stream, the offset of the latest publication (0: none yet), its ms (of an
-- empty stream: when it began), when the stream began, and which offsets were left out, as in meta: behind each
-- of these a life of Redis began. A new one begins as in publish.lua, and where there has
-- been a later one.

-- Returns what to answer where a key is somebody else's, else nil.
local function foreign(key, wanted)
    local is = redis.call('TYPE', key).ok
    return is ~= 'none' and is ~= wanted and redis.error_reply(
        'WRONGTYPE ' .. key .. ' is a ' .. is .. ', not a ' .. wanted .. ': something else uses it') or nil
end

local wrong = foreign(KEYS[1], 'hash')
if wrong then
    return wrong
end
local found = redis.call('HMGET', KEYS[1], 's', 'o', 't', 'a', 'b', 'h')
local name, head, before = found[1], tonumber(found[2]), tonumber(found[3]) or 0
local top, born = tonumber(found[4]) or 0, tonumber(found[5]) or 0

-- As in publish.lua.
local function is_lost(offset)
    if offset > head or offset >= top then
        return offset > head
    end
    for from, upto in string.gmatch(found[6] or '', '(%d+)-(%d+)') do
        if offset > tonumber(from) and offset < tonumber(upto) then
            return true
        end
    end
    return false
end

local is_good = name and head and born >= tonumber(ARGV[3])
for i = 4, #ARGV, 2 do
    is_good = is_good and not (name == ARGV[i] and is_lost(tonumber(ARGV[i + 1])))
end
if is_good then
    return {name, head, before, born, found[6] or ''}
end
wrong = foreign(KEYS[2], 'stream')
if wrong then
    return wrong
end
local now = redis.call('TIME')
local ms = math.max(before, now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('UNLINK', KEYS[2])
born = math.max(ms, born + 1, ARGV[3] + 1)
redis.call('HSET', KEYS[1], 's', ARGV[1], 'o', 0, 't', ms, 'z', 0, 'c', '', 'l', ARGV[2], 'h', '', 'a', 0,
    'b', string.format('%d', born))
return {ARGV[1], 0, ms, born, ''}
