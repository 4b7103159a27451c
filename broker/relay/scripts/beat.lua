-- Renews a node's lease, keeps its figures, and tells it the heads of partitions by way of its own channel:
-- what it hears there comes behind everything that was published before.
--
-- KEYS  1 P:node:<name>   the lease: text that begins with the instance, 16 characters
--       2 P:nodes         hash: name of a node -> [ms, [[k, name, head, ms, base], …]] in MessagePack, by the clock
--                         here and as things stand here, and its figures behind that
--       from 3 on         P:{k}:meta of the partitions
-- ARGV  1 channel of the node   2 lease   3 for how many ms   4 number of the beat   5 name of the node
--       6 its figures ('': nothing is kept)
--       from 7 on         numbers of the partitions, one for each key
--
-- Returns what it publishes: [1, number, [[k, name, head, ms, base], …]] in MessagePack; the name is '' (and head,
-- ms and base are 0) of a partition that has no stream (any more). Or {'held', lease}: another instance has the lease;
-- then nothing was done. A lease that is missing is set again.
--
-- A full Redis refuses a script's first write only, and only where that may take memory: so the first is one that
-- takes none, and the node goes on with what needs no memory. A meta that is somebody else's is as one that is
-- missing: whoever joins is told of it.

local call, try = redis.call, redis.pcall
local held = try('GET', KEYS[1])
if type(held) == 'table' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is not a string: something else uses it')
end
if held and string.sub(held, 1, 16) ~= string.sub(ARGV[2], 1, 16) then
    return {'held', held}
end
call('PEXPIRE', KEYS[1], ARGV[3])
call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
local heads = {}
for i = 3, #KEYS do
    local found = try('HMGET', KEYS[i], 's', 'o', 't', 'a')
    heads[i - 2] = {tonumber(ARGV[i + 4]), found[1] or '', tonumber(found[2]) or 0,
                    tonumber(found[3]) or 0, tonumber(found[4]) or 0}
end
if ARGV[6] ~= '' then
    local now = call('TIME')
    local ms = now[1] * 1000 + math.floor(now[2] / 1000)
    try('HSET', KEYS[2], ARGV[5], cmsgpack.pack({ms, heads}) .. ARGV[6])
end
local beat = cmsgpack.pack({1, tonumber(ARGV[4]), heads})
call('PUBLISH', ARGV[1], beat)
return beat
