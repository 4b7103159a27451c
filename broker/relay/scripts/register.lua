-- Takes a node's name for an instance of it, where the cluster has the same settings.
--
-- KEYS  1 P:node:<name>   the lease, see beat.lua
--       2 P:settings      what all nodes must agree on, as text; the first one writes it
-- ARGV  1 instance
--       2 settings, such as "1 partitions=16 hash_levels=2 servers=1"
--       3 what the lease has to be when it is taken over from somebody who does not beat any more ('': never)
--
-- Returns {verdict, text}:
--       OK ''              the name is this instance's, for 30 s from now; it goes on with number 0
--       TAKEN <lease>      another instance has it: "<instance> <number of its last beat>". Where the same text
--                          is still there after some seconds, it is dead: call again with it as ARGV 3
--       SETTINGS <theirs>  the cluster has others; the name was not taken

local call = redis.call
local settings = call('GET', KEYS[2])
if settings and settings ~= ARGV[2] then
    return {'SETTINGS', settings}
end
local held = call('GET', KEYS[1])
if held and held ~= ARGV[3] and string.sub(held, 1, #ARGV[1]) ~= ARGV[1] then
    return {'TAKEN', held}
end
if not settings then
    call('SET', KEYS[2], ARGV[2])
end
call('SET', KEYS[1], ARGV[1] .. ' 0', 'PX', 30000)
return {'OK', ''}
