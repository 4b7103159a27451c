-- Finds nodes that are gone, and has those leave that were present on them.
--
-- KEYS  1 P:here   hash: instance of a node -> the node's name; empty where it has said goodbye
-- ARGV  1 P, the prefix of keys   2 how many entries at most
--       from 3 on  instances that were seen dead for a while, and so may be reaped now
--
-- An instance is dead when the lease of its node, P:node:<name>, is gone or another instance's. Its clients are
-- in P:here:<instance>, a set of "<k> <topic>\0<member>", where the member is that of P:{k}:here:<topic>.
--
-- Returns {dead, entries}: all instances that are dead now; and the entries that were removed, each by one
-- caller only, who tells their leaves.

local call = redis.call
local prefix, most = ARGV[1], tonumber(ARGV[2])
local sure, dead, left = {}, {}, {}
for i = 3, #ARGV do
    sure[ARGV[i]] = true
end
local known = call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
    local instance = known[i]
    local lease = call('GET', prefix .. ':node:' .. known[i + 1])
    if known[i + 1] == '' then
        lease, sure[instance] = false, true
    end
    if not lease or string.sub(lease, 1, #instance) ~= instance then
        dead[#dead + 1] = instance
        if sure[instance] and #left < most then
            local index = prefix .. ':here:' .. instance
            for _, entry in ipairs(call('SPOP', index, most - #left)) do
                local k, topic, member = string.match(entry, '^(%d+) ([^%z]*)%z(.*)$')
                if k then
                    call('ZREM', prefix .. ':{' .. k .. '}:here:' .. topic, member)
                    left[#left + 1] = entry
                end
            end
            if call('EXISTS', index) == 0 then
                call('HDEL', KEYS[1], instance)
            end
        end
    end
end
return {dead, left}
