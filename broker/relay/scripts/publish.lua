-- Numbers, stores and publishes publications of one partition, as one message of its stream.
--
-- KEYS  1 P:{k}:meta    hash: s = name of the stream, o = its head, t = ms of the head; z and c, for the bound of
--                       the log: bytes since the latest mark, and the ids of entries that are marks; l = the life
--                       of Redis that wrote last; h = offsets that were skipped, a = where the latest of that ends: the base
--                       of the life that writes now;
--                       b = the ms at which the stream began, later than all before it
--       2 P:{k}:log     stream: id <ms>-<last offset>, m = message
--       3 P:{k}:last    hash: topic -> message of its last value alone
--       4 P:{k}:lastz   zset: topic by the ms of its last value, for the bound
--       5 P:{k}:topics  zset: topic by the ms of the latest in its history, for the bound
--       and beside them
--         P:{k}:lastx                zset: topic by the ms at which its last value expires, where it does
--         P:{k}:topic:<topic>        list: messages of one publication each, oldest first
--         P:{k}:key:<topic>\0<key>   position of the publication that had the key, for 120 s:
--                                      <stream>.<offset>, and .<base> where that is not 0
-- ARGV  1 channel       2 name for a new stream   3, 4 a name that was seen, and its head ('' 0: none)
--       5 most entries of the log                 6 … their age in ms       7 … and their bytes, of messages
--       8 most last values                        9 most topics with a history
--       10 the life of Redis, as the node knows it: 16 characters of its run_id, 16 of its replication id ('':
--          it is not known)
--       from 11 on parts, in the order of publishing:
--       p <count> <entries>                                  plain publications, any number of them
--       s <flags> <topic> <key> <history> <ttl_ms> <entry>   one that is more than plain:
--           flags    - nothing; r it is its topic's last value; c it clears that
--           key      '' none
--           history  0, or how many of the topic are kept
--           ttl_ms   0, or for how long it is kept
--
-- Returns {name, ms, b, base, r, …}, an r for each part: an integer, the offset of its first publication in the stream
-- `name`; or a string, the position of the one that had the key before: a duplicate. Where all are duplicates,
-- nothing is stored, and name, ms, b and base mean nothing.
--
-- A new stream begins where meta is missing, and where Redis has lost data: meta names the stream that
-- was seen, with a head below the one that was seen, or with that one among the skipped.
--
-- A Redis that was started again, or that took another one's place, may have lost what it had acknowledged, and
-- cannot know it. So that no offset means two things, the first message of each life leaves out
-- some billions of offsets, by chance how many, and says in its head which one it really follows. Who stands
-- there has lost nothing, and goes on; who has seen more says so when it publishes or joins. Where the life
-- begins, its base, is in the head of each of its messages, but of the first life's: nodes show clients the offsets
-- from there, under a name made of the stream's and the base.
--
-- Everything is looked at before anything is written: what fails has changed nothing. (Redis refuses for lack
-- of memory before the first write only.) What is plain costs five commands, however much it is, and
-- makes no function: that would be a tenth of its time.

local COUNT_MAX = 4096
local KEY_WINDOW_S = 120
local SWEEP = 64 -- expired last values that one call removes
local MARKS = 16 -- the bound of bytes is kept in so many portions
local HOLE_MIN = 4294967296 -- offsets that are skipped, at least
local HEAD_MAX = 562949953421312 -- beyond that a new stream begins rather than to skip any more
local HOLES = 64 -- that are told from each other

local call, floor, format = redis.call, math.floor, string.format
local meta, log = KEYS[1], KEYS[2]
local HEAD = '>BBBBc0BI8BI8BI2' -- [version, kind, name, ms, first, count]
local HEAD_LIFE = '>BBBBc0BI8BI8BI2BI8BI8' -- … and the offset that it follows, and the base of its life
local looked_at -- a key that is not among KEYS

-- Reads parts that are not all plain. Adds to the reply, and returns how many publications are new, their entries,
-- and what to do with them when they are stored.
local function special(reply, name, head, ms, base)
    local prefix, count, at, last_arg = string.sub(meta, 1, -5), 0, 11, #ARGV
    local last, lastz, lastx = KEYS[3], KEYS[4], prefix .. 'lastx'
    local entries, kept, positions = {}, {}, {}
    while at <= last_arg do
        if ARGV[at] == 'p' then
            reply[#reply + 1] = head + count + 1
            entries[#entries + 1] = ARGV[at + 2]
            count = count + tonumber(ARGV[at + 1])
            at = at + 3
        elseif ARGV[at] == 's' then
            local topic, key = ARGV[at + 2], ARGV[at + 3]
            key = key ~= '' and prefix .. 'key:' .. topic .. '\0' .. key
            looked_at = key
            local pos = key and (positions[key] or call('GET', key))
            if not pos then
                count = count + 1
                entries[#entries + 1] = ARGV[at + 6]
                kept[#kept + 1] = {at, head + count}
                if key then
                    positions[key] = format(base > 0 and '%s.%d.%d' or '%s.%d', name, head + count, base)
                end
                if ARGV[at + 4] ~= '0' then
                    looked_at = prefix .. 'topic:' .. topic
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
        local list = prefix .. 'topic:' .. topic
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
            if flags ~= 'r' and history == 0 then
                message = nil
            elseif base > 0 then
                message = struct.pack(HEAD_LIFE, 0x98, 1, 1, 0xA0 + #name, name, 0xCF, ms, 0xCF, offset, 0xCD, 1,
                    0xCF, offset - 1, 0xCF, base) .. ARGV[i + 6]
            else
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
            call('UNLINK', prefix .. 'topic:' .. call('ZPOPMIN', KEYS[5])[1])
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

-- Says whether an offset that was given away is not there any more. `top`: where the latest hole ends.
local function is_lost(offset, head, top)
    if offset > head or offset >= top then
        return offset > head
    end
    for from, upto in string.gmatch(call('HGET', meta, 'h') or '', '(%d+)-(%d+)') do
        if offset > tonumber(from) and offset < tonumber(upto) then
            return true
        end
    end
    return false
end

-- Returns the life of this Redis. Its replication id may have changed since the node has read it.
local function life_now()
    local info = redis.pcall('INFO', 'replication')
    local id = type(info) == 'string' and string.match(info, 'master_replid:(%x+)')
    return id and string.sub(ARGV[10], 1, 16) .. string.sub(id, 1, 16) or ARGV[10]
end

-- Returns the holes with one more: the two oldest may have to become one.
local function add_hole(from, upto)
    local holes = {}
    for each in string.gmatch(call('HGET', meta, 'h') or '', '%S+') do
        holes[#holes + 1] = each
    end
    holes[#holes + 1] = format('%d-%d', from, upto)
    if #holes > HOLES then
        holes[2] = string.match(holes[1], '%d+') .. string.match(holes[2], '%-%d+')
        table.remove(holes, 1)
    end
    return table.concat(holes, ' ')
end

local function publish()
    local found = call('HMGET', meta, 's', 'o', 't', 'z', 'l', 'a', 'b')
    local name, head, before = found[1], tonumber(found[2]), tonumber(found[3]) or 0
    local is_new = not name or not head or
        (name == ARGV[3] and is_lost(tonumber(ARGV[4]), head, tonumber(found[6]) or 0))
    local life, base, follows = found[5], tonumber(found[6]) or 0, nil
    if is_new or (life ~= ARGV[10] and ARGV[10] ~= '') then
        life = ARGV[10] ~= '' and life_now() or ''
        if not is_new and life ~= found[5] then
            follows = head
            head = head + HOLE_MIN + tonumber(string.sub(redis.sha1hex(ARGV[2]), 1, 9), 16)
            base = head
            is_new = head > HEAD_MAX
        end
    end
    if is_new then
        name, head, base, follows = ARGV[2], 0, 0, nil
    end
    local now = call('TIME')
    local ms = now[1] * 1000 + floor(now[2] / 1000)
    if ms < before then
        ms = before
    end

    local first, count, entries, keep = head + 1, nil, nil, nil
    local born = tonumber(found[7]) or 0
    if is_new then
        born = math.max(ms, born + 1)
    end
    local reply = {name, ms, born, base, first}
    if #ARGV == 13 and ARGV[11] == 'p' then
        count, entries = tonumber(ARGV[12]), ARGV[13]
    else
        reply[5] = nil
        count, entries, keep = special(reply, name, head, ms, base)
        if count == 0 then
            return reply
        end
    end
    local message
    if base > 0 then
        message = struct.pack(HEAD_LIFE, 0x98, 1, 1, 0xA0 + #name, name, 0xCF, ms, 0xCF, first, 0xCD, count,
            0xCF, follows or first - 1, 0xCF, base) .. entries
    else
        message = struct.pack(HEAD, 0x96, 1, 1, 0xA0 + #name, name, 0xCF, ms, 0xCF, first, 0xCD, count) .. entries
    end
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
        call('HSET', meta, 's', name, 'o', format('%d', head + count), 't', format('%d', ms), 'z', bytes, 'c', '',
            'l', life, 'h', '', 'a', 0, 'b', format('%d', born))
    else
        if follows then
            call('HSET', meta, 'l', life, 'h', add_hole(follows, head), 'a', format('%d', head))
        end
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
