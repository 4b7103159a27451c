-- Takes a node's name for an instance of it, where the cluster has the same settings.
--
-- KEYS  1 P:node:<name>   the lease: text that begins with the instance, 16 characters
--       2 P:settings      what all nodes must agree on, as text; the first one writes it
-- ARGV  1 settings, such as "1 partitions=16 hash_levels=2 servers=1"
--       2 lease   3 what the lease has to be, exactly, to be taken from another instance ('': never)
--       4 for how many ms
--
-- Returns OK: the name is this instance's. Or {'settings', theirs}: the cluster has others. Or {'held', lease}:
-- another instance has the name; where the same text is still there after some beats, it is dead, and may be
-- replaced. In both cases nothing was done. What is no lease is somebody else's, and stays. A full Redis does not
-- refuse it: as in beat.lua.

local call = redis.call
for _, key in ipairs(KEYS) do
    local type = call('TYPE', key).ok
    if type ~= 'string' and type ~= 'none' then
        return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. type ..
                                 ', not a string: something else uses it')
    end
end
local settings = call('GET', KEYS[2])
if settings and settings ~= ARGV[1] then
    return {'settings', settings}
end
local held = call('GET', KEYS[1])
if held and not (#held < 64 and string.match(held, '^%w+ [%d ]+$') and string.sub(held, 17, 17) == ' ') then
    return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is not the lease of a node: something else uses it')
end
if held and held ~= ARGV[3] and string.sub(held, 1, 16) ~= string.sub(ARGV[2], 1, 16) then
    return {'held', held}
end
call('PEXPIRE', KEYS[1], ARGV[4])
if not settings then
    call('SET', KEYS[2], ARGV[1])
end
return call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
