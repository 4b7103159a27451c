/*
 * The slow, obvious twin of broker/core/relay_message: reads and writes messages between nodes through
 * msgpack-c, as the header describes them. For unit tests and fuzz targets, therefore a header alone.
 */
#ifndef FT_TESTS_RELAY_TWIN_H
#define FT_TESTS_RELAY_TWIN_H

#include "broker/core/relay_message.h"
#include "protocol/base64.h"
#include "protocol/msgpack_out.h"
#include "protocol/topic.h"
#include "tests/unit/support/oracle.h"

/* msgpack-c gives up below this many open containers; who has fewer bytes that open one cannot get there. */
#define FT_TWIN_NESTING 32

static inline bool ft_twin_may_be_deep_(struct ft_slice bytes)
{
    unsigned openers = 0;
    for (size_t i = 0; i < bytes.len; i++)
        openers += (bytes.ptr[i] & 0xE0) == 0x80 || (bytes.ptr[i] & 0xFC) == 0xDC;
    return openers >= FT_TWIN_NESTING;
}

static inline bool ft_twin_uint_(const msgpack_object *object, uint64_t least, uint64_t most)
{
    return object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 >= least &&
           object->via.u64 <= most;
}

static inline struct ft_slice ft_twin_text_(const msgpack_object *object)
{
    return ft_oracle_is_text_(object) ? ft_slice(object->via.str.ptr, object->via.str.size)
                                      : ft_slice(NULL, 0);
}

static inline enum ft_relay_fault ft_twin_head_(const msgpack_object *object,
                                                struct ft_relay_head *head)
{
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size < 2)
        return FT_RELAY_FOREIGN;
    const msgpack_object *item = object->via.array.ptr;
    uint32_t size = object->via.array.size;
    if (!ft_twin_uint_(&item[0], 0, UINT64_MAX))
        return FT_RELAY_FOREIGN;
    if (item[0].via.u64 != 1)
        return FT_RELAY_VERSION_;
    if (!ft_twin_uint_(&item[1], 1, 2) || size < (item[1].via.u64 == 1 ? 6 : 4))
        return FT_RELAY_DAMAGED;
    head->kind = (enum ft_relay_kind)item[1].via.u64;
    head->name = ft_twin_text_(&item[2]);
    bool is_stored = head->kind == FT_RELAY_STORED;
    const msgpack_object *count = &item[is_stored ? 5 : 3];
    if (!ft_twin_uint_(count, 1, FT_RELAY_COUNT_MAX))
        return FT_RELAY_DAMAGED;
    head->count = (uint32_t)count->via.u64;
    if (!is_stored)
        return head->name.len == FT_INSTANCE_LEN ? FT_RELAY_SOUND : FT_RELAY_DAMAGED;
    if (ft_stream_partition(head->name) < 0 || !ft_twin_uint_(&item[3], 0, FT_INT_MAX) ||
        !ft_twin_uint_(&item[4], 1, (1ull << 50) - 1 - FT_RELAY_COUNT_MAX))
        return FT_RELAY_DAMAGED;
    head->ms = item[3].via.u64;
    head->first = item[4].via.u64;
    head->follows = head->first - 1;
    uint64_t *later[] = {&head->follows, &head->base};
    for (uint32_t i = 6; i < 8 && i < size; i++) {
        if (!ft_twin_uint_(&item[i], 0, head->first - 1))
            return FT_RELAY_DAMAGED;
        *later[i - 6] = item[i].via.u64;
    }
    return FT_RELAY_SOUND;
}

static inline bool ft_twin_data_(struct ft_data data)
{
    size_t len;
    switch (data.kind) {
    case FT_DATA_JSON:
        return ft_data_check(FT_JSON, data.bytes, NULL) == FT_OK &&
               !memchr(" \t\r\n", data.bytes.ptr[0], 4) &&
               !memchr(" \t\r\n", data.bytes.ptr[data.bytes.len - 1], 4);
    case FT_DATA_MSGPACK:
        return ft_data_check(FT_MSGPACK, data.bytes, NULL) == FT_OK;
    case FT_DATA_B64:
        return ft_base64_decode(data.bytes, NULL, &len);
    default:
        return true;
    }
}

static inline bool ft_twin_entry_(const msgpack_object *object, struct ft_relay_entry *entry)
{
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size < 6)
        return false;
    const msgpack_object *item = object->via.array.ptr;
    if (!ft_twin_uint_(&item[0], 0, FT_INT_MAX) || item[2].type != MSGPACK_OBJECT_BIN ||
        !ft_twin_uint_(&item[3], 0, FT_INT_MAX) || !ft_twin_uint_(&item[4], 0, FT_INT_MAX) ||
        !ft_twin_uint_(&item[5], 0, UINT32_MAX))
        return false;
    uint64_t flags = item[0].via.u64;
    *entry = (struct ft_relay_entry){
        .topic = ft_twin_text_(&item[1]),
        .data = {.kind = (enum ft_data_kind)(FT_DATA_JSON + (flags & 3)),
                 .bytes = ft_slice(item[2].via.bin.ptr, item[2].via.bin.size)},
        .at_ms = item[3].via.u64,
        .expires_ms = item[4].via.u64,
        .history = (uint32_t)item[5].via.u64,
        .slow = flags >> 2 & 3,
        .is_retained = flags >> 4 & 1,
        .clears_retained = flags >> 5 & 1,
    };
    return ft_topic_check(entry->topic, NULL) == FT_OK && ft_twin_data_(entry->data) &&
           entry->slow < 3 && !(entry->is_retained && entry->clears_retained);
}

/* Unpacks the next object of a message; false: there is none. `*is_asked` becomes false where msgpack-c
 * cannot be asked. */
static inline bool ft_twin_next_(struct ft_slice message, size_t *at, msgpack_unpacked *unpacked,
                                 bool *is_asked)
{
    msgpack_unpack_return got =
        msgpack_unpack_next(unpacked, (const char *)message.ptr, message.len, at);
    if (got == MSGPACK_UNPACK_SUCCESS || got == MSGPACK_UNPACK_EXTRA_BYTES)
        return true;
    *is_asked = *is_asked && !ft_twin_may_be_deep_(message);
    return false;
}

/*
 * Reads a message; at most `most` entries are kept in `entries`, whose slices point into the message. Returns
 * false where msgpack-c cannot be asked; else sets `*fault`, of which an unreadable head is FT_RELAY_DAMAGED,
 * whatever else it might be called.
 */
static inline bool ft_twin_read(struct ft_slice message, size_t message_max,
                                struct ft_relay_head *head, struct ft_relay_entry *entries,
                                uint32_t most, enum ft_relay_fault *fault)
{
    if (ft_oracle_claims_too_much_(message))
        return false;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    bool is_asked = true;
    bool is_large = false;
    size_t at = 0;
    *fault = FT_RELAY_DAMAGED;
    if (ft_twin_next_(message, &at, &unpacked, &is_asked))
        *fault = ft_twin_head_(&unpacked.data, head);
    for (uint32_t i = 0; *fault == FT_RELAY_SOUND && i < head->count; i++) {
        struct ft_relay_entry entry;
        if (!ft_twin_next_(message, &at, &unpacked, &is_asked) ||
            !ft_twin_entry_(&unpacked.data, &entry))
            *fault = FT_RELAY_DAMAGED;
        else if (i < most)
            entries[i] = entry;
        is_large = is_large || (*fault == FT_RELAY_SOUND && entry.data.bytes.len > message_max);
    }
    msgpack_unpacked_destroy(&unpacked);
    if (*fault == FT_RELAY_SOUND)
        *fault = at != message.len ? FT_RELAY_DAMAGED
                 : is_large        ? FT_RELAY_TOO_LARGE
                                   : FT_RELAY_SOUND;
    return is_asked;
}

/* Packs a head: what the publish script does, and ft_relay_head_write(). */
static inline void ft_twin_pack_head(const struct ft_relay_head *head, struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    bool is_stored = head->kind == FT_RELAY_STORED;
    msgpack_pack_array(&packer, is_stored ? 6 : 4);
    msgpack_pack_uint64(&packer, 1);
    msgpack_pack_uint64(&packer, head->kind);
    msgpack_pack_str_with_body(&packer, head->name.ptr, head->name.len);
    if (is_stored) {
        msgpack_pack_uint64(&packer, head->ms);
        msgpack_pack_uint64(&packer, head->first);
    }
    msgpack_pack_uint64(&packer, head->count);
}

static inline void ft_twin_pack_entry(const struct ft_relay_entry *entry, struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, 6);
    msgpack_pack_uint64(
        &packer, (uint64_t)(entry->data.kind - FT_DATA_JSON) | (uint64_t)entry->slow << 2 |
                     (uint64_t)entry->is_retained << 4 | (uint64_t)entry->clears_retained << 5);
    msgpack_pack_str_with_body(&packer, entry->topic.ptr, entry->topic.len);
    msgpack_pack_bin_with_body(&packer, entry->data.bytes.ptr, entry->data.bytes.len);
    msgpack_pack_uint64(&packer, entry->at_ms);
    msgpack_pack_uint64(&packer, entry->expires_ms);
    msgpack_pack_uint64(&packer, entry->history);
}

static inline bool ft_twin_same_entry(const struct ft_relay_entry *a,
                                      const struct ft_relay_entry *b)
{
    return ft_slice_equal(a->topic, b->topic) && a->data.kind == b->data.kind &&
           ft_slice_equal(a->data.bytes, b->data.bytes) && a->at_ms == b->at_ms &&
           a->expires_ms == b->expires_ms && a->history == b->history && a->slow == b->slow &&
           a->is_retained == b->is_retained && a->clears_retained == b->clears_retained;
}

static inline bool ft_twin_same_head(const struct ft_relay_head *a, const struct ft_relay_head *b)
{
    return a->kind == b->kind && ft_slice_equal(a->name, b->name) && a->ms == b->ms &&
           a->first == b->first && a->count == b->count && a->follows == b->follows &&
           a->base == b->base;
}

#endif
