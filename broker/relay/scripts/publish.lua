-- Numbers, stores and publishes publications of one partition, as one message of its stream.
--
-- KEYS  1 P:{k}:meta    hash: s = name of the stream, o = its head, t = ms of the head; z and c, for the bound of
--                       the log: bytes since the latest mark, and the ids of entries that are marks
--       2 P:{k}:log     stream: id <ms>-<last offset>, m = message
--       3 P:{k}:last    hash: topic -> message of its last value alone
--       4 P:{k}:lastz   zset: topic by the ms of its last value, for the bound
--       5 P:{k}:topics  zset: topic by the ms of the latest in its history, for the bound
--       and beside them
--         P:{k}:lastx                zset: topic by the ms at which its last value expires, where it does
--         P:{k}:topic:<topic>        list: messages of one publication each, oldest first
--         P:{k}:key:<topic>\0<key>   position of the publication that had the key, for 120 s
-- ARGV  1 channel       2 name for a new stream   3, 4 a name that was seen, and its head ('' 0: none)
--       5 most entries of the log                 6 … their age in ms       7 … and their bytes, of messages
--       8 most last values                        9 most topics with a history
--       from 10 on parts, in the order of publishing:
--       p <count> <entries>                                  plain publications, any number of them
--       s <flags> <topic> <key> <history> <ttl_ms> <entry>   one that is more than plain:
--           flags    - nothing; r it is its topic's last value; c it clears that
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
-- Everything is looked at before anything is written: what fails has changed nothing. (Redis refuses for lack
-- of memory before the first write only.) What is plain costs five commands, however much it is, and
-- makes no function: that would be a tenth of its time.

local COUNT_MAX = 4096
local KEY_WINDOW_S = 120
local SWEEP = 64 -- expired last values that one call removes
local MARKS = 16 -- the bound of bytes is kept in so many portions

local call, floor, format = redis.call, math.floor, string.format
local meta, log = KEYS[1], KEYS[2]
local HEAD = '>BBBBc0BI8BI8BI2' -- [version, kind, name, ms, first, count]
local looked_at -- a key that is not among KEYS

-- Reads parts that are not all plain. Adds to the reply, and returns how many publications are new, their entries,
-- and what to do with them when they are stored.
local function special(reply, name, head, ms)
    local base, count, at, last_arg = string.sub(meta, 1, -5), 0, 10, #ARGV
    local last, lastz, lastx = KEYS[3], KEYS[4], base .. 'lastx'
    local entries, kept, positions = {}, {}, {}
    while at <= last_arg do
        if ARGV[at] == 'p' then
            reply[#reply + 1] = head + count + 1
            entries[#entries + 1] = ARGV[at + 2]
            count = count + tonumber(ARGV[at + 1])
            at = at + 3
        elseif ARGV[at] == 's' then
            local topic, key = ARGV[at + 2], ARGV[at + 3]
            key = key ~= '' and base .. 'key:' .. topic .. '\0' .. key
            looked_at = key
            local pos = key and (positions[key] or call('GET', key))
            if not pos then
                count = count + 1
                entries[#entries + 1] = ARGV[at + 6]
                kept[#kept + 1] = {at, head + count}
                if key then
                    positions[key] = format('%s.%d', name, head + count)
                end
                if ARGV[at + 4] ~= '0' then
                    looked_at = base .. 'topic:' .. topic
                    call('LLEN', looked_at)
                end
            end
            reply[#reply + 1] = pos or head + count
            at = at + 7
        else
            error('ERR publish: no part begins at argument ' .. at, 0)
        end
    end
    if count > COUNT_MAX then
        error('ERR publish: more than ' .. COUNT_MAX .. ' publications', 0)
    end
    looked_at = lastx
    call('HLEN', last)
    local retained, topics, expiring = call('ZCARD', lastz), call('ZCARD', KEYS[5]), call('ZCARD', lastx)

    local function forget(topic)
        call('HDEL', last, topic)
        retained = retained - call('ZREM', lastz, topic)
        if expiring > 0 then
            expiring = expiring - call('ZREM', lastx, topic)
        end
    end

    local function retain(topic, ttl_ms, message)
        call('HSET', last, topic, message)
        retained = retained + call('ZADD', lastz, ms, topic)
        if ttl_ms > 0 then
            expiring = expiring + call('ZADD', lastx, ms + ttl_ms, topic)
        elseif expiring > 0 then
            expiring = expiring - call('ZREM', lastx, topic)
        end
    end

    local function remember(topic, history, message)
        local list = base .. 'topic:' .. topic
        if call('RPUSH', list, message) > history then
            call('LTRIM', list, -history, -1)
        end
        topics = topics + call('ZADD', KEYS[5], ms, topic)
    end

    local function keep()
        for key, pos in pairs(positions) do
            call('SET', key, pos, 'EX', KEY_WINDOW_S)
        end
        if expiring > 0 then
            for _, topic in ipairs(call('ZRANGEBYSCORE', lastx, '-inf', ms, 'LIMIT', 0, SWEEP)) do
                forget(topic)
            end
        end
        for _, one in ipairs(kept) do
            local i, offset = one[1], one[2]
            local flags, topic, history = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 4])
            local message
            if flags == 'r' or history > 0 then
                message = struct.pack(HEAD, 0x96, 1, 1, 0xA0 + #name, name, 0xCF, ms, 0xCF, offset, 0xCD, 1)
                    .. ARGV[i + 6]
            end
            if flags == 'c' then
                forget(topic)
            elseif flags == 'r' then
                retain(topic, tonumber(ARGV[i + 5]), message)
            end
            if history > 0 then
                remember(topic, history, message)
            end
        end
        while retained > tonumber(ARGV[8]) do
            forget(call('ZRANGE', lastz, 0, 0)[1])
        end
        while topics > tonumber(ARGV[9]) do
            call('UNLINK', base .. 'topic:' .. call('ZPOPMIN', KEYS[5])[1])
            topics = topics - 1
        end
    end

    return count, table.concat(entries), keep
end

-- Marks an entry, once for each portion that it ends, and cuts the log at the mark that is so many portions behind.
local function mark(id, portions)
    local marks, cut = {}, nil
    for each in string.gmatch(call('HGET', meta, 'c') or '', '%S+') do
        marks[#marks + 1] = each
    end
    for _ = 1, math.min(portions, MARKS) do
        marks[#marks + 1] = id
    end
    while #marks > MARKS do
        cut = table.remove(marks, 1)
    end
    if cut then
        call('XTRIM', log, 'MINID', '~', cut, 'LIMIT', 0)
    end
    call('HSET', meta, 'c', table.concat(marks, ' '))
end

local function publish()
    local found = call('HMGET', meta, 's', 'o', 't', 'z')
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

    local first, count, entries, keep = head + 1, nil, nil, nil
    local reply = {name, ms, first}
    if #ARGV == 12 and ARGV[10] == 'p' then
        count, entries = tonumber(ARGV[11]), ARGV[12]
    else
        reply[3] = nil
        count, entries, keep = special(reply, name, head, ms)
        if count == 0 then
            return reply
        end
    end
    local message = struct.pack(HEAD, 0x96, 1, 1, 0xA0 + #name, name, 0xCF, ms, 0xCF, first, 0xCD, count)
        .. entries
    if is_new then
        found[4] = nil
        call('XLEN', log) -- fails where it is somebody else's
        call('UNLINK', log)
    end
    local id = format('%d-%d', ms, head + count)
    local portion = ARGV[7] / MARKS
    local bytes = (tonumber(found[4]) or 0) + #message
    local portions = floor(bytes / portion)
    bytes = floor(bytes - portions * portion)
    call('XADD', log, 'MAXLEN', '~', ARGV[5], id, 'm', message)
    if is_new then
        call('HSET', meta, 's', name, 'o', format('%d', head + count), 't', format('%d', ms), 'z', bytes, 'c', '')
    else
        call('HSET', meta, 'o', format('%d', head + count), 't', format('%d', ms), 'z', bytes)
    end
    if portions > 0 then
        mark(id, portions)
    end
    if floor(before / 1000) ~= floor(ms / 1000) then
        call('XTRIM', log, 'MINID', '~', format('%d', ms - ARGV[6]))
    end
    if keep then
        keep()
    end
    call('PUBLISH', ARGV[1], message)
    return reply
end

local is_done, result = pcall(publish)
if is_done then
    return result
end

-- The error as Redis has it, without the place in this script (older ones put it in front); where a type is
-- wrong, it is told whose.
local text = type(result) == 'table' and result.err or tostring(result)
text = string.gsub(text, '^@?user_script: ?%d+: %-?', '')
if string.find(text, '^WRONGTYPE') then
    local wanted = {'hash', 'stream', 'hash', 'zset', 'zset'}
    text = format('WRONGTYPE %s is of another type: something else uses it',
                  (string.gsub(looked_at or log, '%z', '\\0')))
    for i, key in ipairs(KEYS) do
        local is = call('TYPE', key).ok
        if is ~= 'none' and is ~= wanted[i] then
            text = format('WRONGTYPE %s is a %s, not a %s: something else uses it', key, is, wanted[i])
        end
    end
end
return redis.error_reply(text)
