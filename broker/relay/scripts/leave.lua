-- Gives a node's name back, where the instance still has it.
--
-- KEYS  1 P:node:<name>   2 P:nodes       see beat.lua
-- ARGV  1 instance        2 name of the node
--
-- Returns 1; or 0: another instance has the name, and nothing was done.

local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, 16) ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], ARGV[2])
return 1
