/*
 * The MessagePack scanner: the hot path of every binary publish. Iterative, bounded by the bytes
 * that are there; builds no tree. Pure; any thread.
 */
#include "protocol/msgpack_scan.h"

#include <endian.h>
#include <math.h>

#include "protocol/envelope.h"
#include "protocol/utf8.h"

/* Reads a big-endian number of `n` bytes: 1, 2, 4 or 8. */
static inline uint64_t read_be(const uint8_t *at, size_t n)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (n) {
    case 1:
        return *at;
    case 2:
        memcpy(&two, at, 2);
        return be16toh(two);
    case 4:
        memcpy(&four, at, 4);
        return be32toh(four);
    default:
        memcpy(&eight, at, 8);
        return be64toh(eight);
    }
}

/* Takes a number of `n` bytes that follows the type byte, and stands after it. */
static inline bool take_be(struct ft_scan *scan, size_t n, uint64_t *num)
{
    if ((size_t)(scan->end - scan->at) < n + 1)
        return ft_scan_broken(scan, FT_FAULT_ENDS);
    *num = read_be(scan->at + 1, n);
    scan->at += n + 1;
    return true;
}

static inline bool take_uint(struct ft_scan *scan, size_t n, struct ft_value *value)
{
    value->kind = FT_VALUE_UINT;
    return take_be(scan, n, &value->num);
}

/* A signed form may hold a number that is not negative: that is a UINT as any other. */
static bool take_int(struct ft_scan *scan, size_t n, struct ft_value *value)
{
    uint64_t num;
    if (!take_be(scan, n, &num))
        return false;
    unsigned unused = (unsigned)(64 - 8 * n);
    int64_t wide = (int64_t)(num << unused) >> unused;
    value->kind = wide < 0 ? FT_VALUE_INT : FT_VALUE_UINT;
    value->num = (uint64_t)wide;
    return true;
}

static bool take_float(struct ft_scan *scan, size_t n, struct ft_value *value)
{
    uint64_t bits;
    if (!take_be(scan, n, &bits))
        return false;
    value->kind = FT_VALUE_NUMBER;
    if (n == sizeof(float)) {
        uint32_t narrow = (uint32_t)bits;
        float real;
        memcpy(&real, &narrow, sizeof(real));
        value->real = (double)real;
    } else {
        memcpy(&value->real, &bits, sizeof(value->real));
    }
    return true;
}

/* Takes the `len` bytes of content that stand at scan->at. */
static inline bool take_content(struct ft_scan *scan, enum ft_value_kind kind, uint64_t len,
                                struct ft_value *value)
{
    if ((uint64_t)(scan->end - scan->at) < len)
        return ft_scan_broken(scan, FT_FAULT_ENDS);
    value->kind = kind;
    value->has_escapes = false;
    value->text = ft_slice(scan->at, (size_t)len);
    scan->at += len;
    return true;
}

/* Takes a length of `n` bytes and the content. An ext's content begins with its type. */
static inline bool take_long(struct ft_scan *scan, enum ft_value_kind kind, size_t n,
                             struct ft_value *value)
{
    uint64_t len;
    return take_be(scan, n, &len) &&
           take_content(scan, kind, kind == FT_VALUE_EXT ? len + 1 : len, value);
}

/* Accepts a container of `count` elements or pairs, each of which takes a byte at least. */
static inline bool take_count(struct ft_scan *scan, enum ft_value_kind kind, uint64_t count,
                              struct ft_value *value)
{
    uint64_t least = kind == FT_VALUE_MAP ? 2 * count : count;
    if ((uint64_t)(scan->end - scan->at) < least)
        return ft_scan_broken(scan, "a header that claims more elements than bytes are left");
    value->kind = kind;
    value->num = count;
    return true;
}

static inline bool take_long_count(struct ft_scan *scan, enum ft_value_kind kind, size_t n,
                                   struct ft_value *value)
{
    uint64_t count;
    return take_be(scan, n, &count) && take_count(scan, kind, count, value);
}

static bool take_word(struct ft_scan *scan, enum ft_value_kind kind, bool is_true,
                      struct ft_value *value)
{
    scan->at++;
    value->kind = kind;
    value->is_true = is_true;
    return true;
}

/* The types from 0xC0 to 0xDF, each with a byte of its own. */
static bool take_typed(struct ft_scan *scan, uint8_t type, struct ft_value *value)
{
    switch (type) {
    case 0xC0:
        return take_word(scan, FT_VALUE_NULL, false, value);
    case 0xC2:
    case 0xC3:
        return take_word(scan, FT_VALUE_BOOL, type == 0xC3, value);
    case 0xC4 ... 0xC6:
        return take_long(scan, FT_VALUE_BIN, (size_t)1 << (type - 0xC4), value);
    case 0xC7 ... 0xC9:
        return take_long(scan, FT_VALUE_EXT, (size_t)1 << (type - 0xC7), value);
    case 0xCA:
    case 0xCB:
        return take_float(scan, (size_t)4 << (type - 0xCA), value);
    case 0xCC ... 0xCF:
        return take_uint(scan, (size_t)1 << (type - 0xCC), value);
    case 0xD0 ... 0xD3:
        return take_int(scan, (size_t)1 << (type - 0xD0), value);
    case 0xD4 ... 0xD8:
        scan->at++;
        return take_content(scan, FT_VALUE_EXT, 1 + (1ull << (type - 0xD4)), value);
    case 0xD9 ... 0xDB:
        return take_long(scan, FT_VALUE_STR, (size_t)1 << (type - 0xD9), value);
    case 0xDC:
    case 0xDD:
        return take_long_count(scan, FT_VALUE_ARRAY, (size_t)2 << (type - 0xDC), value);
    case 0xDE:
    case 0xDF:
        return take_long_count(scan, FT_VALUE_MAP, (size_t)2 << (type - 0xDE), value);
    default:
        return ft_scan_broken(scan, "the byte c1, which MessagePack does not use");
    }
}

/* Reads one item without asking whether our rules allow it. */
static inline bool take_item(struct ft_scan *scan, struct ft_value *value)
{
    if (scan->at == scan->end)
        return ft_scan_broken(scan, FT_FAULT_ENDS);
    uint8_t type = *scan->at;
    if (type >= 0xC0 && type < 0xE0)
        return take_typed(scan, type, value);
    scan->at++;
    if (type < 0x80 || type >= 0xE0) {
        value->kind = type < 0x80 ? FT_VALUE_UINT : FT_VALUE_INT;
        value->num = (uint64_t)(int64_t)(int8_t)type;
        return true;
    }
    if (type >= 0xA0)
        return take_content(scan, FT_VALUE_STR, type & 0x1F, value);
    return take_count(scan, type < 0x90 ? FT_VALUE_MAP : FT_VALUE_ARRAY, type & 0x0F, value);
}

/* Says whether a short text is ASCII, as most keys and names are, without a call: loads that overlap
 * cover it. A longer one is ft_utf8_is_valid()'s, which is fast where there is more to do. */
static inline bool is_short_ascii(struct ft_slice text)
{
    uint64_t first = 0;
    uint64_t last = 0;
    if (text.len >= 8) {
        if (text.len > 16)
            return false;
        memcpy(&first, text.ptr, 8);
        memcpy(&last, text.ptr + text.len - 8, 8);
    } else if (text.len >= 4) {
        memcpy(&first, text.ptr, 4);
        memcpy(&last, text.ptr + text.len - 4, 4);
    } else {
        for (size_t i = 0; i < text.len; i++)
            first |= text.ptr[i];
    }
    return ((first | last) & UINT64_C(0x8080808080808080)) == 0;
}

/* The rules for one item. */
static inline bool is_allowed(struct ft_scan *scan, const struct ft_value *value)
{
    if (value->kind == FT_VALUE_STR && !is_short_ascii(value->text) &&
        !ft_utf8_is_valid(value->text))
        return ft_scan_refused(scan, "a string that is not UTF-8");
    if (value->kind == FT_VALUE_NUMBER && !isfinite(value->real))
        return ft_scan_refused(scan, "a float that is NaN or infinite");
    if (value->kind == FT_VALUE_EXT)
        return ft_scan_refused(scan, "an ext type");
    return true;
}

static inline bool scan_item(struct ft_scan *scan, struct ft_value *value)
{
    const uint8_t *from = scan->at;
    if (!take_item(scan, value))
        return false;
    value->raw = ft_slice(from, (size_t)(scan->at - from));
    if (is_allowed(scan, value))
        return true;
    scan->at = from;
    return false;
}

bool ft_msgpack_item(struct ft_scan *scan, struct ft_value *value)
{
    return scan_item(scan, value);
}

static inline bool is_container(const struct ft_value *value)
{
    return value->kind == FT_VALUE_ARRAY || value->kind == FT_VALUE_MAP;
}

/*
 * Reads what is inside the container whose header was `head`. A map of n pairs is 2n values, of which
 * a key is next while their number is even. Counts are bounded by the bytes left, so 2n fits.
 */
static bool scan_inside(struct ft_scan *scan, const struct ft_value *head)
{
    struct {
        uint64_t left;
        bool is_map;
    } open[FT_DEPTH_MAX + FT_DEEPER_MAX];
    unsigned depth = 0;
    struct ft_value item = {.kind = head->kind, .num = head->num};
    for (;;) {
        if (is_container(&item)) {
            if (depth == (unsigned)FT_DEPTH_MAX + scan->deeper)
                return ft_scan_refused(scan, FT_FAULT_DEPTH);
            bool is_map = item.kind == FT_VALUE_MAP;
            open[depth].is_map = is_map;
            open[depth++].left = is_map ? 2 * item.num : item.num;
        }
        while (depth > 0 && open[depth - 1].left == 0)
            depth--;
        if (depth == 0)
            return true;
        bool is_key = open[depth - 1].is_map && open[depth - 1].left % 2 == 0;
        open[depth - 1].left--;
        if (!scan_item(scan, &item))
            return false;
        if (is_key && item.kind != FT_VALUE_STR)
            return ft_scan_refused(scan, "a map key that is not a string");
    }
}

bool ft_msgpack_value(struct ft_scan *scan, struct ft_value *value)
{
    const uint8_t *from = scan->at;
    if (!scan_item(scan, value))
        return false;
    if (is_container(value) && !scan_inside(scan, value))
        return false;
    value->raw = ft_slice(from, (size_t)(scan->at - from));
    return true;
}

bool ft_msgpack_step_over(struct ft_scan *scan)
{
    /* Depth does not matter here, only how many values are still to come. Each header adds less than
     * the bytes left after it, so the sum stays far below 2^64. */
    uint64_t left = 1;
    while (left > 0) {
        struct ft_value item;
        if (!take_item(scan, &item))
            return false;
        left--;
        if (is_container(&item))
            left += item.kind == FT_VALUE_MAP ? 2 * item.num : item.num;
    }
    return true;
}
