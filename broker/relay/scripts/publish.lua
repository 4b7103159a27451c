-- Numbers, stores and publishes publications of one partition, as one message of its stream.
--
-- KEYS  1 P:{k}:meta   hash: s = name of the stream, o = its head, t = ms of the head
--       2 P:{k}:log    stream: id <ms>-<last offset>, m = message
--       3 P:{k}:last   hash: topic -> message of its last value alone
--       4 P:{k}:lastz  zset: topic by the ms of its last value, for the bound
--       5 P:{k}:topics zset: topic by the ms of the latest in its history, for the bound
--       (and, by the topics: P:{k}:topic:<topic>, list of messages of 1, oldest first;
--       P:{k}:key:<topic>\0<key>, the position of the publication that had the key)
-- ARGV  1 channel       2 name for a new stream   3, 4 a name that was seen, and its head ('' 0: none)
--       5 most entries of the log                 6 … and their age in ms
--       7 most last values                        8 most topics with a history
--       from 9 on parts, in the order of publishing:
--       p <count> <entries>                              plain publications, any number of them
--       s <flags> <topic> <key> <history> <ttl_ms> <entry>   one that is more than plain:
--           flags    - nothing, r it is its topic's last value, c it clears that
--           key      '' none
--           history  0, or how many of the topic are kept
--           ttl_ms   0, or for how long it is kept
--
-- Returns {name, ms, r, …}, an r for each part: an integer, the offset of its first publication in the stream
-- `name`; or a string, the position of the one that had the key before: a duplicate. Where all are duplicates,
-- nothing is stored, and name and ms mean nothing.
--
-- A new stream begins where meta is missing, and where Redis has lost data: meta names the stream that
-- was seen, with a head below the one that was seen.
--
-- Everything is looked at before anything is written: what fails has changed nothing.

local call, floor, format = redis.call, math.floor, string.format
local meta, log, channel = KEYS[1], KEYS[2], ARGV[1]

local found = call('HMGET', meta, 's', 'o', 't')
local name, head, before = found[1], tonumber(found[2]), tonumber(found[3]) or 0
local is_new = not name or not head or (name == ARGV[3] and head < tonumber(ARGV[4]))
if is_new then
    name, head = ARGV[2], 0
end

local now = call('TIME')
local ms = now[1] * 1000 + floor(now[2] / 1000)
if ms < before then
    ms = before
end

-- [version, kind, name, ms, first, count]
local function message(first, count, entries)
    return struct.pack('>BBBBc0BI8BI8BI2', 0x96, 1, 1, 0xA0 + #name, name, 0xCF, ms, 0xCF, first,
                    0xCD, count) .. entries
end

local count, entries, special = 0, nil, nil
local reply = {name, ms}

if #ARGV == 11 and ARGV[9] == 'p' then
    count, entries, reply[3] = tonumber(ARGV[10]), ARGV[11], head + 1
else
    local base = string.sub(meta, 1, -5)
    local all, keys = {}, {}
    local at, last_arg = 9, #ARGV
    special = {}
    while at <= last_arg do
        if ARGV[at] == 'p' then
            reply[#reply + 1] = head + count + 1
            all[#all + 1] = ARGV[at + 2]
            count = count + tonumber(ARGV[at + 1])
            at = at + 3
        elseif ARGV[at] == 's' then
            local key = ARGV[at + 3] ~= '' and base .. 'key:' .. ARGV[at + 2] .. '\0' .. ARGV[at + 3]
            local pos = key and (keys[key] or call('GET', key))
            if pos then
                reply[#reply + 1] = pos
            else
                count = count + 1
                reply[#reply + 1] = head + count
                all[#all + 1] = ARGV[at + 6]
                special[#special + 1] = {at, head + count}
                if key then
                    keys[key] = name .. '.' .. format('%d', head + count)
                end
            end
            at = at + 7
        else
            return redis.error_reply('ERR publish.lua: argument ' .. at .. ' begins no part')
        end
    end
    if count == 0 then
        return reply
    end
    entries = table.concat(all)

    if is_new then
        call('UNLINK', log)
    end
    for key, pos in pairs(keys) do
        call('SET', key, pos, 'EX', 120)
    end
    local retained, topics = call('ZCARD', KEYS[4]), call('ZCARD', KEYS[5])
    for _, one in ipairs(special) do
        local part, offset = one[1], one[2]
        local flags, topic, history = ARGV[part + 1], ARGV[part + 2], tonumber(ARGV[part + 4])
        if flags == 'r' then
            call('HSET', KEYS[3], topic, message(offset, 1, ARGV[part + 6]))
            retained = retained + call('ZADD', KEYS[4], ms, topic)
        elseif flags == 'c' then
            call('HDEL', KEYS[3], topic)
            retained = retained - call('ZREM', KEYS[4], topic)
        end
        if history > 0 then
            local list = base .. 'topic:' .. topic
            if call('RPUSH', list, message(offset, 1, ARGV[part + 6])) > history then
                call('LTRIM', list, -history, -1)
            end
            topics = topics + call('ZADD', KEYS[5], ms, topic)
        end
    end
    while retained > tonumber(ARGV[7]) do
        call('HDEL', KEYS[3], call('ZPOPMIN', KEYS[4])[1])
        retained = retained - 1
    end
    while topics > tonumber(ARGV[8]) do
        call('DEL', base .. 'topic:' .. call('ZPOPMIN', KEYS[5])[1])
        topics = topics - 1
    end
end

local first = head + 1
head = head + count
local text = message(first, count, entries)
if is_new and not special then
    call('UNLINK', log)
end
call('XADD', log, 'MAXLEN', '~', ARGV[5], format('%d-%d', ms, head), 'm', text)
if is_new then
    call('HSET', meta, 's', name, 'o', head, 't', ms)
else
    call('HSET', meta, 'o', head, 't', ms)
end
if floor(before / 1000) ~= floor(ms / 1000) then
    call('XTRIM', log, 'MINID', '~', format('%d', ms - ARGV[6]))
end
call('PUBLISH', channel, text)
return reply
