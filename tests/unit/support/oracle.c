/* msgpack-c as a second opinion, with our rules checked on its tree by plain recursion. */
#include "tests/unit/support/oracle.h"

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>

#include "protocol/envelope.h"
#include "protocol/utf8.h"

/* A 32-bit header may claim this many elements; msgpack-c reserves 24 or 48 bytes for each. */
#define CLAIM_MAX 10000

static bool claims_too_much(struct ft_slice bytes)
{
    for (size_t at = 0; at + 5 <= bytes.len; at++) {
        const uint8_t *p = bytes.ptr + at;
        uint32_t count = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
        if ((p[0] == 0xDD || p[0] == 0xDF) && count > CLAIM_MAX)
            return true;
    }
    return false;
}

static bool is_text(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR &&
           ft_utf8_is_valid(ft_slice(object->via.str.ptr, object->via.str.size));
}

static bool is_allowed(const msgpack_object *object, unsigned depth)
{
    switch (object->type) {
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return isfinite(object->via.f64);
    case MSGPACK_OBJECT_STR:
        return is_text(object);
    case MSGPACK_OBJECT_EXT:
        return false;
    case MSGPACK_OBJECT_ARRAY:
        for (uint32_t i = 0; i < object->via.array.size; i++)
            if (!is_allowed(&object->via.array.ptr[i], depth + 1))
                return false;
        return depth < FT_DEPTH_MAX;
    case MSGPACK_OBJECT_MAP:
        for (uint32_t i = 0; i < object->via.map.size; i++)
            if (!is_text(&object->via.map.ptr[i].key) ||
                !is_allowed(&object->via.map.ptr[i].val, depth + 1))
                return false;
        return depth < FT_DEPTH_MAX;
    default:
        return true;
    }
}

static bool unpack(struct ft_slice bytes, msgpack_unpacked *unpacked)
{
    size_t at = 0;
    msgpack_unpack_return got =
        msgpack_unpack_next(unpacked, (const char *)bytes.ptr, bytes.len, &at);
    return (got == MSGPACK_UNPACK_SUCCESS || got == MSGPACK_UNPACK_EXTRA_BYTES) && at == bytes.len;
}

enum ft_opinion ft_oracle_msgpack(struct ft_slice bytes)
{
    if (claims_too_much(bytes))
        return FT_OPINION_NONE;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    bool is_good = unpack(bytes, &unpacked) && is_allowed(&unpacked.data, 0);
    msgpack_unpacked_destroy(&unpacked);
    return is_good ? FT_OPINION_GOOD : FT_OPINION_BAD;
}

static bool is_float(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_FLOAT32 || object->type == MSGPACK_OBJECT_FLOAT64;
}

static bool is_same(const msgpack_object *a, const msgpack_object *b)
{
    if (is_float(a) && is_float(b))
        return memcmp(&a->via.f64, &b->via.f64, sizeof(a->via.f64)) == 0;
    if (a->type != b->type)
        return false;
    if (a->type == MSGPACK_OBJECT_ARRAY) {
        if (a->via.array.size != b->via.array.size)
            return false;
        for (uint32_t i = 0; i < a->via.array.size; i++)
            if (!is_same(&a->via.array.ptr[i], &b->via.array.ptr[i]))
                return false;
        return true;
    }
    if (a->type == MSGPACK_OBJECT_MAP) {
        if (a->via.map.size != b->via.map.size)
            return false;
        for (uint32_t i = 0; i < a->via.map.size; i++)
            if (!is_same(&a->via.map.ptr[i].key, &b->via.map.ptr[i].key) ||
                !is_same(&a->via.map.ptr[i].val, &b->via.map.ptr[i].val))
                return false;
        return true;
    }
    return msgpack_object_equal(*a, *b);
}

bool ft_oracle_is_same(struct ft_slice a, struct ft_slice b)
{
    msgpack_unpacked one;
    msgpack_unpacked two;
    msgpack_unpacked_init(&one);
    msgpack_unpacked_init(&two);
    bool same = unpack(a, &one) && unpack(b, &two) && is_same(&one.data, &two.data);
    msgpack_unpacked_destroy(&one);
    msgpack_unpacked_destroy(&two);
    return same;
}
