/*
 * Turns `data` from one encoding into the other, in one walk over the scanner's items: no tree is
 * built, integers keep their 64 bits, and work and memory stay near linear in the bytes whatever a
 * peer sends. Off the hot path: once per publication at most. Any thread.
 */
#include "protocol/transcode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base64.h"
#include "protocol/json_number.h"
#include "protocol/json_scan.h"
#include "protocol/msgpack_out.h"
#include "protocol/msgpack_scan.h"
#include "protocol/number.h"
#include "protocol/writer.h"

/* --- JSON to MessagePack --- */

/*
 * A header says how many elements follow, which JSON tells only at the end. So one byte is kept free
 * for it, and the content moves up in the few containers of more than 15 elements: at most once per
 * level of nesting.
 *
 *     out   … [?] "a" 1 "b" 2 "a" 3          the map's head, then its pairs
 *              ▲   ▲     ▲     ▲
 *              head  pairs: where each begins, so that the first "a" can go when the map closes
 */
struct pair {
    size_t at; /* in the output */
    size_t key_len;
    size_t end;
    bool is_overruled; /* a later pair has the same key */
};

struct container {
    size_t head;
    size_t count;
    size_t first_pair;
    bool is_map;
};

struct packing {
    struct ft_scan scan;
    struct ft_buffer *out;
    struct container open[FT_DEPTH_MAX];
    unsigned depth;
    struct pair *pairs; /* of all maps that are open, the innermost last */
    size_t pairs_len;
    size_t pairs_cap;
};

/* A map of up to this many pairs is searched for repeated keys by comparing each with each: 28
 * comparisons, mostly of lengths, beat a sort. */
#define FEW_PAIRS 8

static int compare_keys(const void *a, const void *b, void *bytes)
{
    const struct pair *one = a;
    const struct pair *two = b;
    if (one->key_len != two->key_len)
        return one->key_len < two->key_len ? -1 : 1;
    const uint8_t *out = bytes;
    int order = memcmp(out + one->at, out + two->at, one->key_len);
    return order ? order : (one->at > two->at) - (one->at < two->at);
}

static int compare_places(const void *a, const void *b)
{
    const struct pair *one = a;
    const struct pair *two = b;
    return (one->at > two->at) - (one->at < two->at);
}

static bool is_same_key(const uint8_t *out, const struct pair *a, const struct pair *b)
{
    return a->key_len == b->key_len && memcmp(out + a->at, out + b->at, a->key_len) == 0;
}

static bool few_have_repeats(const uint8_t *out, const struct pair *pairs, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (is_same_key(out, &pairs[i], &pairs[k]))
                return true;
    return false;
}

/* Sorts the pairs by key and marks all but the last one of each. Returns how many it marked. */
static size_t mark_overruled(uint8_t *out, struct pair *pairs, size_t n)
{
    size_t marked = 0;
    qsort_r(pairs, n, sizeof(*pairs), compare_keys, out);
    for (size_t i = 0; i + 1 < n; i++) {
        pairs[i].is_overruled = is_same_key(out, &pairs[i], &pairs[i + 1]);
        marked += pairs[i].is_overruled;
    }
    return marked;
}

/* Takes the pairs that a later one overrules out of the map that ends the output. */
static void drop_overruled(struct packing *packing, struct container *map)
{
    size_t n = map->count;
    if (n < 2)
        return;
    uint8_t *out = packing->out->ptr;
    struct pair *pairs = packing->pairs + map->first_pair;
    if (n <= FEW_PAIRS && !few_have_repeats(out, pairs, n))
        return;
    size_t marked = mark_overruled(out, pairs, n);
    if (marked == 0)
        return;
    qsort(pairs, n, sizeof(*pairs), compare_places);
    size_t to = pairs[0].at;
    for (size_t i = 0; i < n; i++) {
        if (pairs[i].is_overruled)
            continue;
        size_t len = pairs[i].end - pairs[i].at;
        memmove(out + to, out + pairs[i].at, len);
        to += len;
    }
    packing->out->len = to;
    map->count -= marked;
}

/* Writes the header of a container whose content ends the output. */
static void put_head(struct ft_buffer *out, const struct container *container)
{
    size_t n = container->count;
    bool is_map = container->is_map;
    if (n <= 15) {
        out->ptr[container->head] = (uint8_t)((is_map ? 0x80 : 0x90) | n);
        return;
    }
    size_t more = n <= UINT16_MAX ? 2 : 4;
    if (!ft_buffer_reserve(out, more))
        return;
    uint8_t *head = out->ptr + container->head;
    memmove(head + 1 + more, head + 1, out->len - container->head - 1);
    out->len += more;
    head[0] = (uint8_t)((is_map ? 0xDE : 0xDC) + (more == 4));
    for (size_t i = more; i > 0; i--, n >>= 8)
        head[i] = (uint8_t)n;
}

static void close_container(struct packing *packing)
{
    struct container *top = &packing->open[--packing->depth];
    if (packing->out->failed)
        return;
    if (top->is_map) {
        drop_overruled(packing, top);
        packing->pairs_len = top->first_pair;
    }
    put_head(packing->out, top);
}

/* Decodes a string with escapes straight into the output, 5 bytes up, and moves it to its header. */
static void put_escaped(struct ft_buffer *out, struct ft_slice text)
{
    const size_t room = 5;
    uint8_t *at = ft_buffer_reserve(out, room + text.len);
    size_t len = 0;
    if (!at || !ft_json_decode(text, at + room, text.len, &len))
        return;
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_str(&packer, len);
    memmove(out->ptr + out->len, at + room, len);
    out->len += len;
}

static void put_text(struct ft_buffer *out, struct ft_slice text, bool has_escapes)
{
    if (has_escapes)
        put_escaped(out, text);
    else
        ft_msgpack_out_str(out, text);
}

static void put_number(struct ft_buffer *out, struct ft_slice number)
{
    msgpack_packer packer = ft_msgpack_out(out);
    bool is_negative;
    uint64_t num;
    if (!ft_json_integer(number, &is_negative, &num))
        msgpack_pack_double(&packer, ft_double_read(number));
    else if (is_negative)
        msgpack_pack_int64(&packer, (int64_t)(0 - num));
    else
        msgpack_pack_uint64(&packer, num);
}

static void put_scalar(struct ft_buffer *out, const struct ft_value *value)
{
    if (value->kind == FT_VALUE_STR)
        put_text(out, value->text, value->has_escapes);
    else if (value->kind == FT_VALUE_NULL)
        ft_buffer_add_byte(out, 0xC0);
    else if (value->kind == FT_VALUE_BOOL)
        ft_buffer_add_byte(out, value->is_true ? 0xC3 : 0xC2);
    else
        put_number(out, value->raw);
}

static void push_pair(struct packing *packing, struct pair pair)
{
    if (packing->pairs_len == packing->pairs_cap) {
        size_t cap = packing->pairs_cap ? packing->pairs_cap * 2 : 32;
        struct pair *pairs = realloc(packing->pairs, cap * sizeof(*pairs));
        if (!pairs)
            abort();
        packing->pairs = pairs;
        packing->pairs_cap = cap;
    }
    packing->pairs[packing->pairs_len++] = pair;
}

/* Reads a key and its colon, and stands at the value. */
static bool pack_key(struct packing *packing)
{
    struct ft_scan *scan = &packing->scan;
    struct pair pair = {.at = packing->out->len};
    struct ft_slice text;
    bool has_escapes;
    ft_json_skip_space(scan);
    if (!ft_json_string(scan, &text, &has_escapes))
        return false;
    put_text(packing->out, text, has_escapes);
    pair.key_len = packing->out->len - pair.at;
    push_pair(packing, pair);
    ft_json_skip_space(scan);
    if (scan->at == scan->end || *scan->at != ':')
        return false;
    scan->at++;
    return true;
}

static bool open_container(struct packing *packing, bool is_map)
{
    if (packing->depth == FT_DEPTH_MAX)
        return false;
    packing->open[packing->depth++] = (struct container){
        .head = packing->out->len, .first_pair = packing->pairs_len, .is_map = is_map};
    ft_buffer_add_byte(packing->out, 0);
    packing->scan.at++;
    ft_json_skip_space(&packing->scan);
    return true;
}

/* Counts the value that just ended, closes what closes here, and stands before the next value; or
 * everything is closed. */
static bool pack_go_on(struct packing *packing)
{
    struct ft_scan *scan = &packing->scan;
    while (packing->depth > 0) {
        struct container *top = &packing->open[packing->depth - 1];
        top->count++;
        if (top->is_map)
            packing->pairs[packing->pairs_len - 1].end = packing->out->len;
        ft_json_skip_space(scan);
        if (scan->at == scan->end)
            return false;
        if (*scan->at++ == ',')
            return !top->is_map || pack_key(packing);
        close_container(packing);
    }
    return true;
}

/* Packs what is at scan->at: a scalar, or a container's opening, after which `*is_open` tells that a
 * value of its own comes next. */
static bool pack_one(struct packing *packing, bool *is_open)
{
    struct ft_scan *scan = &packing->scan;
    *is_open = false;
    ft_json_skip_space(scan);
    if (scan->at == scan->end)
        return false;
    if (*scan->at == '{' || *scan->at == '[') {
        bool is_map = *scan->at == '{';
        if (!open_container(packing, is_map) || scan->at == scan->end)
            return false;
        *is_open = *scan->at != (is_map ? '}' : ']');
        if (*is_open)
            return !is_map || pack_key(packing);
        scan->at++;
        close_container(packing);
        return true;
    }
    struct ft_value value;
    if (!ft_json_value(scan, &value))
        return false;
    put_scalar(packing->out, &value);
    return true;
}

static bool pack_json(struct ft_slice json, struct ft_buffer *out)
{
    struct packing packing = {.scan = ft_scan_of(json), .out = out};
    bool is_good;
    bool is_open;
    do {
        is_good = pack_one(&packing, &is_open) && (is_open || pack_go_on(&packing));
    } while (is_good && packing.depth > 0 && !out->failed);
    free(packing.pairs);
    return is_good;
}

/* --- MessagePack to JSON --- */

struct printing {
    struct ft_scan scan;
    struct ft_buffer *out;
    struct {
        uint64_t left; /* values still to come: keys and values of a map count each */
        bool is_map;
        bool is_first;
    } open[FT_DEPTH_MAX];
    unsigned depth;
};

static void put_base64(struct ft_buffer *out, struct ft_slice bytes)
{
    uint8_t *at = ft_buffer_reserve(out, FT_BASE64_LEN(bytes.len));
    if (at)
        out->len += ft_base64_encode(bytes, (char *)at);
}

static void print_scalar(struct ft_buffer *out, const struct ft_value *value)
{
    char text[FT_DOUBLE_TEXT_MAX];
    switch (value->kind) {
    case FT_VALUE_NULL:
        ft_buffer_add_str(out, "null");
        return;
    case FT_VALUE_BOOL:
        ft_buffer_add_str(out, value->is_true ? "true" : "false");
        return;
    case FT_VALUE_UINT:
        snprintf(text, sizeof(text), "%" PRIu64, value->num);
        break;
    case FT_VALUE_INT:
        snprintf(text, sizeof(text), "%" PRId64, (int64_t)value->num);
        break;
    case FT_VALUE_NUMBER:
        ft_double_print(value->real, text);
        break;
    case FT_VALUE_BIN:
        ft_buffer_add_byte(out, '"');
        put_base64(out, value->text);
        ft_buffer_add_byte(out, '"');
        return;
    default:
        ft_json_add_quoted(out, value->text);
        return;
    }
    ft_buffer_add_str(out, text);
}

/* Puts what stands between the last value and the next one. */
static void print_separator(struct printing *printing)
{
    if (printing->depth == 0)
        return;
    unsigned top = printing->depth - 1;
    bool is_after_key = printing->open[top].is_map && printing->open[top].left % 2 == 1;
    if (is_after_key)
        ft_buffer_add_byte(printing->out, ':');
    else if (!printing->open[top].is_first)
        ft_buffer_add_byte(printing->out, ',');
    printing->open[top].is_first = false;
    printing->open[top].left--;
}

static bool print_one(struct printing *printing)
{
    struct ft_value value;
    if (!ft_msgpack_item(&printing->scan, &value))
        return false;
    print_separator(printing);
    bool is_map = value.kind == FT_VALUE_MAP;
    if (!is_map && value.kind != FT_VALUE_ARRAY) {
        print_scalar(printing->out, &value);
        return true;
    }
    if (printing->depth == FT_DEPTH_MAX)
        return false;
    ft_buffer_add_byte(printing->out, is_map ? '{' : '[');
    unsigned at = printing->depth++;
    printing->open[at].left = is_map ? 2 * value.num : value.num;
    printing->open[at].is_map = is_map;
    printing->open[at].is_first = true;
    return true;
}

static bool print_msgpack(struct ft_slice msgpack, struct ft_buffer *out)
{
    struct printing printing = {.scan = ft_scan_of(msgpack), .out = out};
    do {
        if (!print_one(&printing))
            return false;
        while (printing.depth > 0 && printing.open[printing.depth - 1].left == 0)
            ft_buffer_add_byte(out, printing.open[--printing.depth].is_map ? '}' : ']');
    } while (printing.depth > 0 && !out->failed);
    return true;
}

/* --- both --- */

/* The content of a value that is bytes and nothing else. */
static bool is_wholly_bin(struct ft_slice msgpack, struct ft_slice *bytes)
{
    struct ft_scan scan = ft_scan_of(msgpack);
    struct ft_value value;
    if (!ft_msgpack_item(&scan, &value) || value.kind != FT_VALUE_BIN)
        return false;
    *bytes = value.text;
    return true;
}

static bool put_decoded(struct ft_buffer *out, struct ft_slice text)
{
    size_t len = 0;
    if (!ft_base64_decode(text, NULL, &len))
        return false;
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_bin(&packer, len);
    /* The decoder wants room for the padding's bytes too. */
    uint8_t *at = ft_buffer_reserve(out, text.len / 4 * 3);
    if (!at)
        return true;
    (void)ft_base64_decode(text, at, &len);
    out->len += len;
    return true;
}

static bool to_json(struct ft_data data, struct ft_buffer *out, enum ft_data_kind *kind)
{
    struct ft_slice bytes = data.bytes;
    *kind = FT_DATA_B64;
    if (data.kind == FT_DATA_B64) {
        ft_buffer_add(out, bytes.ptr, bytes.len);
        return true;
    }
    if (data.kind == FT_DATA_BYTES ||
        (data.kind == FT_DATA_MSGPACK && is_wholly_bin(data.bytes, &bytes))) {
        put_base64(out, bytes);
        return true;
    }
    *kind = FT_DATA_JSON;
    if (data.kind == FT_DATA_MSGPACK)
        return print_msgpack(bytes, out);
    ft_buffer_add(out, bytes.ptr, bytes.len);
    return true;
}

static bool to_msgpack(struct ft_data data, struct ft_buffer *out)
{
    switch (data.kind) {
    case FT_DATA_JSON:
        return pack_json(data.bytes, out);
    case FT_DATA_B64:
        return put_decoded(out, data.bytes);
    case FT_DATA_BYTES:
        ft_msgpack_out_bin(out, data.bytes);
        return true;
    default:
        ft_buffer_add(out, data.bytes.ptr, data.bytes.len);
        return true;
    }
}

enum ft_err ft_transcode(struct ft_data data, enum ft_encoding encoding, struct ft_buffer *out,
                         enum ft_data_kind *kind)
{
    if (data.kind == FT_DATA_NONE)
        return FT_ERR_BAD_DATA;
    size_t before = out->len;
    enum ft_data_kind became = FT_DATA_MSGPACK;
    bool is_good = encoding == FT_JSON ? to_json(data, out, &became) : to_msgpack(data, out);
    if (is_good && !out->failed) {
        *kind = became;
        return FT_OK;
    }
    out->len = before;
    return out->failed ? FT_ERR_TOO_LARGE : FT_ERR_BAD_DATA;
}
