/*
 * What nodes say to each other about publications: see the header. Writing is by hand, as it is done for
 * every publication; reading goes through the scanners that clients' data goes through. Knows neither
 * Redis nor what becomes of a publication. Pure; any thread.
 */
#include "broker/core/relay_message.h"

#include "broker/base/alloc.h"
#include "broker/core/policy.h"
#include "broker/core/publication.h"
#include "protocol/base64.h"
#include "protocol/json_scan.h"
#include "protocol/msgpack_scan.h"
#include "protocol/topic.h"
#include "protocol/utf8.h"

/* Elements that this version knows; the first two are read before the others. */
#define STORED_ELEMENTS    6
#define EPHEMERAL_ELEMENTS 4
#define ENTRY_ELEMENTS     6

#define FLAG_KIND     3
#define FLAG_SLOW     12
#define SLOW_SHIFT    2
#define FLAG_RETAINED 16
#define FLAG_CLEARS   32

/* Of the packer: the first byte of an array, a text, a number; lengths in their smallest form. */
#define ARRAY 0x90
#define STR   0xA0
#define STR8  0xD9
#define UINT8 0xCC
#define BIN8  0xC4

static const enum ft_data_kind kinds[] = {FT_DATA_JSON, FT_DATA_B64, FT_DATA_MSGPACK,
                                          FT_DATA_BYTES};

/* ---- writing ---- */

/* Writes the low `bytes` bytes of a number. */
static uint8_t *put_be(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned shift = 8 * bytes; shift > 0; shift -= 8)
        *at++ = (uint8_t)(value >> (shift - 8));
    return at;
}

/* Writes a type byte, of three or four that follow each other, and a number of 1, 2, 4 or 8 bytes. */
static uint8_t *put_sized(uint8_t *at, uint8_t type, uint64_t value)
{
    unsigned power = value <= UINT8_MAX ? 0 : value <= UINT16_MAX ? 1 : value <= UINT32_MAX ? 2 : 3;
    *at++ = (uint8_t)(type + power);
    return put_be(at, value, 1u << power);
}

static uint8_t *put_uint(uint8_t *at, uint64_t value)
{
    if (value > 0x7F)
        return put_sized(at, UINT8, value);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_bytes(uint8_t *at, struct ft_slice bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

static uint8_t *put_str(uint8_t *at, struct ft_slice text)
{
    if (text.len >= 32)
        return put_bytes(put_sized(at, STR8, text.len), text);
    *at++ = (uint8_t)(STR | text.len);
    return put_bytes(at, text);
}

static uint8_t flags_of(const struct ft_relay_entry *entry)
{
    uint8_t kind = 0;
    while (kinds[kind] != entry->data.kind) {
        kind++;
        FT_ASSERT(kind < sizeof(kinds) / sizeof(kinds[0]));
    }
    return (uint8_t)(kind | entry->slow << SLOW_SHIFT | (entry->is_retained ? FLAG_RETAINED : 0) |
                     (entry->clears_retained ? FLAG_CLEARS : 0));
}

void ft_relay_entry_write(const struct ft_relay_entry *entry, struct ft_buffer *out)
{
    uint8_t *from = ft_buffer_reserve(out, ft_relay_entry_size(entry->topic, entry->data.bytes));
    if (!from)
        return;
    uint8_t *at = from;
    *at++ = ARRAY | ENTRY_ELEMENTS;
    at = put_uint(at, flags_of(entry));
    at = put_str(at, entry->topic);
    at = put_bytes(put_sized(at, BIN8, entry->data.bytes.len), entry->data.bytes);
    at = put_uint(at, entry->at_ms);
    at = put_uint(at, entry->expires_ms);
    at = put_uint(at, entry->history);
    out->len += (size_t)(at - from);
}

void ft_relay_head_write(struct ft_slice origin, uint32_t count, struct ft_buffer *out)
{
    uint8_t head[4 + FT_INSTANCE_LEN + 5];
    FT_ASSERT(origin.len == FT_INSTANCE_LEN);
    uint8_t *at = head;
    *at++ = ARRAY | EPHEMERAL_ELEMENTS;
    at = put_uint(at, FT_RELAY_VERSION);
    at = put_uint(at, FT_RELAY_EPHEMERAL);
    at = put_str(at, origin);
    at = put_uint(at, count);
    ft_buffer_add(out, head, (size_t)(at - head));
}

/* ---- reading ---- */

static bool read_array(struct ft_scan *scan, uint64_t least, uint64_t *count)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_ARRAY || value.num < least)
        return false;
    *count = value.num;
    return true;
}

static bool read_uint(struct ft_scan *scan, uint64_t most, uint64_t *number)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_UINT || value.num > most)
        return false;
    *number = value.num;
    return true;
}

static bool read_bytes(struct ft_scan *scan, enum ft_value_kind kind, struct ft_slice *bytes)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != kind)
        return false;
    *bytes = value.text;
    return true;
}

/* Steps over what a later version has added. */
static bool skip(struct ft_scan *scan, uint64_t count)
{
    while (count-- > 0)
        if (!ft_msgpack_step_over(scan))
            return false;
    return true;
}

static bool read_stored(struct ft_scan *scan, uint64_t elements, struct ft_relay_head *head)
{
    uint64_t count;
    if (elements < STORED_ELEMENTS || !read_bytes(scan, FT_VALUE_STR, &head->name) ||
        ft_stream_partition(head->name) < 0 || !read_uint(scan, FT_INT_MAX, &head->ms) ||
        !read_uint(scan, (UINT64_C(1) << FT_OFFSET_BITS) - 1 - FT_RELAY_COUNT_MAX, &head->first) ||
        head->first == 0 || !read_uint(scan, FT_RELAY_COUNT_MAX, &count) || count == 0)
        return false;
    head->count = (uint32_t)count;
    head->follows = head->first - 1;
    if (elements == STORED_ELEMENTS)
        return true;
    if (!read_uint(scan, head->first - 1, &head->follows))
        return false;
    if (elements == STORED_ELEMENTS + 1)
        return true;
    return read_uint(scan, head->first - 1, &head->base) &&
           skip(scan, elements - STORED_ELEMENTS - 2);
}

static bool read_ephemeral(struct ft_scan *scan, uint64_t elements, struct ft_relay_head *head)
{
    uint64_t count;
    if (elements < EPHEMERAL_ELEMENTS || !read_bytes(scan, FT_VALUE_STR, &head->name) ||
        head->name.len != FT_INSTANCE_LEN || !read_uint(scan, FT_RELAY_COUNT_MAX, &count) ||
        count == 0)
        return false;
    head->ms = head->first = head->follows = 0;
    head->count = (uint32_t)count;
    return skip(scan, elements - EPHEMERAL_ELEMENTS);
}

enum ft_relay_fault ft_relay_head_read(struct ft_slice message, struct ft_relay_head *head,
                                       struct ft_slice *entries)
{
    struct ft_scan scan = ft_scan_of(message);
    struct ft_relay_head found = {0};
    uint64_t elements;
    uint64_t version;
    uint64_t kind;
    if (!read_array(&scan, 2, &elements) || !read_uint(&scan, UINT64_MAX, &version))
        return FT_RELAY_FOREIGN;
    if (version != FT_RELAY_VERSION)
        return FT_RELAY_VERSION_;
    if (!read_uint(&scan, FT_RELAY_EPHEMERAL, &kind) || kind == 0)
        return FT_RELAY_DAMAGED;
    found.kind = (enum ft_relay_kind)kind;
    bool is_sound = kind == FT_RELAY_STORED ? read_stored(&scan, elements, &found)
                                            : read_ephemeral(&scan, elements, &found);
    if (!is_sound)
        return FT_RELAY_DAMAGED;
    *head = found;
    *entries = ft_slice(scan.at, (size_t)(scan.end - scan.at));
    return FT_RELAY_SOUND;
}

/* Says whether data is what a client's would be after the reader took it. */
static bool is_data(struct ft_data data)
{
    struct ft_scan scan = ft_scan_of(data.bytes);
    struct ft_value value;
    size_t len;
    switch (data.kind) {
    case FT_DATA_JSON:
        return ft_utf8_is_valid(data.bytes) && ft_json_value(&scan, &value) && scan.at == scan.end;
    case FT_DATA_MSGPACK:
        return ft_msgpack_value(&scan, &value) && scan.at == scan.end;
    case FT_DATA_B64:
        return ft_base64_decode(data.bytes, NULL, &len);
    default:
        return true;
    }
}

static bool read_flags(struct ft_scan *scan, struct ft_relay_entry *entry)
{
    uint64_t flags;
    if (!read_uint(scan, FT_INT_MAX, &flags))
        return false;
    entry->data.kind = kinds[flags & FLAG_KIND];
    entry->slow = (uint8_t)((flags & FLAG_SLOW) >> SLOW_SHIFT);
    entry->is_retained = (flags & FLAG_RETAINED) != 0;
    entry->clears_retained = (flags & FLAG_CLEARS) != 0;
    return entry->slow <= FT_SLOW_DISCONNECT && !(entry->is_retained && entry->clears_retained);
}

enum ft_relay_fault ft_relay_entry_read(struct ft_slice *entries, size_t message_max,
                                        struct ft_relay_entry *entry)
{
    struct ft_scan scan = ft_scan_of(*entries);
    struct ft_relay_entry found = {0};
    uint64_t elements;
    uint64_t history;
    if (!read_array(&scan, ENTRY_ELEMENTS, &elements) || !read_flags(&scan, &found) ||
        !read_bytes(&scan, FT_VALUE_STR, &found.topic) ||
        ft_topic_check(found.topic, NULL) != FT_OK ||
        !read_bytes(&scan, FT_VALUE_BIN, &found.data.bytes) || !is_data(found.data) ||
        !read_uint(&scan, FT_INT_MAX, &found.at_ms) ||
        !read_uint(&scan, FT_INT_MAX, &found.expires_ms) ||
        !read_uint(&scan, UINT32_MAX, &history) || !skip(&scan, elements - ENTRY_ELEMENTS))
        return FT_RELAY_DAMAGED;
    found.history = (uint32_t)history;
    *entry = found;
    *entries = ft_slice(scan.at, (size_t)(scan.end - scan.at));
    return found.data.bytes.len > message_max ? FT_RELAY_TOO_LARGE : FT_RELAY_SOUND;
}

enum ft_relay_fault ft_relay_message_check(struct ft_slice message, size_t message_max,
                                           struct ft_relay_head *head)
{
    struct ft_slice entries;
    struct ft_relay_head found;
    enum ft_relay_fault fault = ft_relay_head_read(message, &found, &entries);
    bool is_too_large = false;
    for (uint32_t i = 0; fault == FT_RELAY_SOUND && i < found.count; i++) {
        struct ft_relay_entry entry;
        fault = ft_relay_entry_read(&entries, message_max, &entry);
        if (fault == FT_RELAY_TOO_LARGE) {
            is_too_large = true;
            fault = FT_RELAY_SOUND;
        }
    }
    if (fault != FT_RELAY_SOUND)
        return fault;
    if (entries.len > 0)
        return FT_RELAY_DAMAGED;
    *head = found;
    return is_too_large ? FT_RELAY_TOO_LARGE : FT_RELAY_SOUND;
}
