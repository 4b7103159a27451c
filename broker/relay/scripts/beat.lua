-- Renews a node's lease, keeps its figures, and tells it the heads of partitions by way of its own channel:
-- what it hears there comes behind everything that was published before.
--
-- KEYS  1 P:node:<name>   the lease: "<instance> <number of the beat>", for 30 s
--       2 P:nodes         hash: name of a node -> its figures
--       from 3 on         P:{k}:meta of the partitions
-- ARGV  1 channel of the node   2 instance   3 number of the beat   4 name of the node
--       5 its figures ('': none to keep)
--       from 6 on         numbers of the partitions, one for each key
--
-- Publishes [1, number, [[k, name, head, ms], …]] in MessagePack; the name is '' (and head and ms are 0) of a
-- partition that has no stream (any more).
-- Returns how many heard it: 0 means that nobody is subscribed. An error that begins with TAKEN, and goes on
-- with the instance, means that another instance holds the lease; then nothing was done.

local call = redis.call
local held = call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[2]) ~= ARGV[2] then
    return redis.error_reply('TAKEN ' .. held)
end
call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[3], 'PX', 30000)
if ARGV[5] ~= '' then
    call('HSET', KEYS[2], ARGV[4], ARGV[5])
end
local heads = {}
for i = 3, #KEYS do
    local found = call('HMGET', KEYS[i], 's', 'o', 't')
    heads[i - 2] = {tonumber(ARGV[i + 3]), found[1] or '', tonumber(found[2]) or 0,
                    tonumber(found[3]) or 0}
end
return call('PUBLISH', ARGV[1], cmsgpack.pack({1, tonumber(ARGV[3]), heads}))
