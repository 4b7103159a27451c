-- Gives a node's name back, where the instance still has it.
--
-- KEYS  1 P:node:<name>   2 P:nodes   3 P:settings       see beat.lua, register.lua
-- ARGV  1 instance        2 name of the node
--       3 settings that this node may have written, and by which it has never served ('': it has)
--
-- Returns 1; or 0: another instance has the name, and nothing was done.

local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, 16) ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], ARGV[2])
if redis.call('GET', KEYS[3]) == ARGV[3] and redis.call('HLEN', KEYS[2]) == 0 then
    redis.call('DEL', KEYS[3]) -- there is no cluster yet, and what comes next may have others
end
return 1
