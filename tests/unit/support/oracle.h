/*
 * What msgpack-c thinks of MessagePack, under our rules: the second opinion of unit tests and fuzz
 * targets. Slow and obvious on purpose. A header alone, so that both can use it.
 */
#ifndef FT_TESTS_ORACLE_H
#define FT_TESTS_ORACLE_H

#include <math.h>
#include <msgpack.h>

#include "protocol/envelope.h"
#include "protocol/utf8.h"

enum ft_opinion {
    FT_OPINION_GOOD,
    FT_OPINION_BAD,
    FT_OPINION_NONE /* asking would let msgpack-c reserve what a header claims: too much */
};

/* A 32-bit header may claim this many elements; msgpack-c reserves 24 or 48 bytes for each. */
#define FT_ORACLE_CLAIM_MAX 10000

static inline bool ft_oracle_claims_too_much_(struct ft_slice bytes)
{
    for (size_t at = 0; at + 5 <= bytes.len; at++) {
        const uint8_t *p = bytes.ptr + at;
        uint32_t count = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
        if ((p[0] == 0xDD || p[0] == 0xDF) && count > FT_ORACLE_CLAIM_MAX)
            return true;
    }
    return false;
}

static inline bool ft_oracle_is_text_(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR &&
           ft_utf8_is_valid(ft_slice(object->via.str.ptr, object->via.str.size));
}

static inline bool ft_oracle_is_allowed_(const msgpack_object *object, unsigned depth)
{
    switch (object->type) {
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return isfinite(object->via.f64);
    case MSGPACK_OBJECT_STR:
        return ft_oracle_is_text_(object);
    case MSGPACK_OBJECT_EXT:
        return false;
    case MSGPACK_OBJECT_ARRAY:
        for (uint32_t i = 0; i < object->via.array.size; i++)
            if (!ft_oracle_is_allowed_(&object->via.array.ptr[i], depth + 1))
                return false;
        return depth < FT_DEPTH_MAX;
    case MSGPACK_OBJECT_MAP:
        for (uint32_t i = 0; i < object->via.map.size; i++)
            if (!ft_oracle_is_text_(&object->via.map.ptr[i].key) ||
                !ft_oracle_is_allowed_(&object->via.map.ptr[i].val, depth + 1))
                return false;
        return depth < FT_DEPTH_MAX;
    default:
        return true;
    }
}

static inline bool ft_oracle_unpack_(struct ft_slice bytes, msgpack_unpacked *unpacked)
{
    size_t at = 0;
    msgpack_unpack_return got =
        msgpack_unpack_next(unpacked, (const char *)bytes.ptr, bytes.len, &at);
    return (got == MSGPACK_UNPACK_SUCCESS || got == MSGPACK_UNPACK_EXTRA_BYTES) && at == bytes.len;
}

/* Says whether `bytes` are one whole value that SPEC.md allows as `data`. */
static inline enum ft_opinion ft_oracle_msgpack(struct ft_slice bytes)
{
    if (ft_oracle_claims_too_much_(bytes))
        return FT_OPINION_NONE;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    bool is_good = ft_oracle_unpack_(bytes, &unpacked) && ft_oracle_is_allowed_(&unpacked.data, 0);
    msgpack_unpacked_destroy(&unpacked);
    return is_good ? FT_OPINION_GOOD : FT_OPINION_BAD;
}

static inline bool ft_oracle_is_float_(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_FLOAT32 || object->type == MSGPACK_OBJECT_FLOAT64;
}

static inline bool ft_oracle_is_same_(const msgpack_object *a, const msgpack_object *b)
{
    if (ft_oracle_is_float_(a) && ft_oracle_is_float_(b))
        return memcmp(&a->via.f64, &b->via.f64, sizeof(a->via.f64)) == 0;
    if (a->type != b->type)
        return false;
    if (a->type == MSGPACK_OBJECT_ARRAY) {
        if (a->via.array.size != b->via.array.size)
            return false;
        for (uint32_t i = 0; i < a->via.array.size; i++)
            if (!ft_oracle_is_same_(&a->via.array.ptr[i], &b->via.array.ptr[i]))
                return false;
        return true;
    }
    if (a->type == MSGPACK_OBJECT_MAP) {
        if (a->via.map.size != b->via.map.size)
            return false;
        for (uint32_t i = 0; i < a->via.map.size; i++)
            if (!ft_oracle_is_same_(&a->via.map.ptr[i].key, &b->via.map.ptr[i].key) ||
                !ft_oracle_is_same_(&a->via.map.ptr[i].val, &b->via.map.ptr[i].val))
                return false;
        return true;
    }
    return msgpack_object_equal(*a, *b);
}

/* Says whether two whole values mean the same, whatever forms they are packed in: numbers of one kind
 * by value, a float never an integer, maps in the order that they have. */
static inline bool ft_oracle_is_same(struct ft_slice a, struct ft_slice b)
{
    msgpack_unpacked one;
    msgpack_unpacked two;
    msgpack_unpacked_init(&one);
    msgpack_unpacked_init(&two);
    bool same = ft_oracle_unpack_(a, &one) && ft_oracle_unpack_(b, &two) &&
                ft_oracle_is_same_(&one.data, &two.data);
    msgpack_unpacked_destroy(&one);
    msgpack_unpacked_destroy(&two);
    return same;
}

#endif
