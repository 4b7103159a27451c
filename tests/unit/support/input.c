/* Files, hexadecimal text and random documents for the tests of decoders. */
#include "tests/unit/support/input.h"

#include <stdio.h>
#include <stdlib.h>

struct ft_slice ft_input_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        abort();
    }
    struct ft_buffer content;
    ft_buffer_init(&content, 16u << 20);
    uint8_t *at;
    size_t n;
    while ((at = ft_buffer_reserve(&content, 65536)) && (n = fread(at, 1, 65536, file)) > 0)
        content.len += n;
    fclose(file);
    struct ft_slice exact = ft_input_exact(ft_buffer_slice(&content));
    ft_buffer_fini(&content);
    return exact;
}

struct ft_slice ft_input_exact(struct ft_slice bytes)
{
    uint8_t *copy = malloc(bytes.len ? bytes.len : 1);
    if (!copy)
        abort();
    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    return ft_slice(copy, bytes.len);
}

void ft_input_free(struct ft_slice bytes)
{
    free((void *)(uintptr_t)bytes.ptr);
}

struct ft_slice ft_input_hex(const char *hex)
{
    uint8_t *bytes = malloc(strlen(hex) / 2 + 1);
    if (!bytes)
        abort();
    size_t len = 0;
    while (*hex) {
        unsigned byte;
        if (*hex == '-' || *hex == ' ') {
            hex++;
            continue;
        }
        if (sscanf(hex, "%2x", &byte) != 1)
            abort();
        bytes[len++] = (uint8_t)byte;
        hex += 2;
    }
    struct ft_slice exact = ft_input_exact(ft_slice(bytes, len));
    free(bytes);
    return exact;
}

/* xorshift64*: small, fast, and the same on every machine. */
uint64_t ft_input_random(uint64_t *state, uint64_t limit)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * UINT64_C(2685821657736338717) >> 11) % limit;
}

static const char *pick(uint64_t *state, const char *const *from, size_t n)
{
    return from[ft_input_random(state, n)];
}

#define PICK(state, array) pick(state, array, sizeof(array) / sizeof((array)[0]))

static const char *const json_pieces[] = {
    "a", "b", "\\n", "\\\"", "\\\\",           "\\/", "\\u0041",          "\\u00e9", "é",
    "€", "😀", " ",   "key",  "\\ud83d\\ude00", "\\t", "0123456789abcdef", "\x7f",    "/",
};

static const char *const json_numbers[] = {
    "0",
    "-0",
    "1",
    "-1",
    "12.5",
    "1e5",
    "-2.5E-3",
    "0.1",
    "1e300",
    "1E+2",
    "1e-400",
    "127",
    "128",
    "-32",
    "-33",
    "255",
    "65536",
    "1.0",
    "-128",
    "-129",
    "4294967296",
    "-2147483649",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    "1.7976931348623157e308",
    "5e-324",
    "123456789012345678901234567890",
};

static void json_space(uint64_t *state, struct ft_buffer *out)
{
    static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t", "\r\n  "};
    ft_buffer_add_str(out, PICK(state, spaces));
}

static void json_string(uint64_t *state, struct ft_buffer *out)
{
    ft_buffer_add_byte(out, '"');
    for (uint64_t n = ft_input_random(state, 5); n > 0; n--)
        ft_buffer_add_str(out, PICK(state, json_pieces));
    ft_buffer_add_byte(out, '"');
}

static void json_container(uint64_t *state, unsigned depth, struct ft_buffer *out)
{
    bool is_map = ft_input_random(state, 2);
    /* Now and then past 15, where MessagePack's headers grow. */
    uint64_t n = ft_input_random(state, ft_input_random(state, 12) ? 5 : 40);
    ft_buffer_add_byte(out, is_map ? '{' : '[');
    for (uint64_t i = 0; i < n; i++) {
        if (i > 0)
            ft_buffer_add_byte(out, ',');
        json_space(state, out);
        if (is_map) {
            json_string(state, out);
            json_space(state, out);
            ft_buffer_add_byte(out, ':');
        }
        ft_input_json(state, depth - 1, out);
    }
    json_space(state, out);
    ft_buffer_add_byte(out, is_map ? '}' : ']');
}

void ft_input_json(uint64_t *state, unsigned depth, struct ft_buffer *out)
{
    static const char *const words[] = {"true", "false", "null"};
    json_space(state, out);
    uint64_t kind = ft_input_random(state, depth > 0 ? 6 : 3);
    if (kind == 0)
        ft_buffer_add_str(out, PICK(state, words));
    else if (kind == 1)
        ft_buffer_add_str(out, PICK(state, json_numbers));
    else if (kind == 2)
        json_string(state, out);
    else
        json_container(state, depth, out);
    json_space(state, out);
}

/* Adds a type byte and `num` big-endian in `n` bytes. */
static void msgpack_head(struct ft_buffer *out, unsigned type, uint64_t num, unsigned n)
{
    ft_buffer_add_byte(out, (uint8_t)type);
    for (unsigned i = n; i > 0; i--)
        ft_buffer_add_byte(out, (uint8_t)(num >> (8 * (i - 1))));
}

static void msgpack_number(uint64_t *state, struct ft_buffer *out)
{
    uint64_t bits = ft_input_random(state, UINT64_MAX) >> ft_input_random(state, 64);
    unsigned width = (unsigned)ft_input_random(state, 4);
    switch (ft_input_random(state, 4)) {
    case 0:
        ft_buffer_add_byte(out, (uint8_t)(ft_input_random(state, 0xA0) + 0xE0));
        break;
    case 1:
        msgpack_head(out, 0xCC + width, bits, 1u << width);
        break;
    case 2:
        msgpack_head(out, 0xD0 + width, bits, 1u << width);
        break;
    default:
        /* Exponents short of all ones: finite. */
        if (width % 2)
            msgpack_head(out, 0xCA, bits & 0xBF7FFFFF, 4);
        else
            msgpack_head(out, 0xCB, bits & UINT64_C(0xFFEFFFFFFFFFFFFF), 8);
    }
}

static void msgpack_string(uint64_t *state, bool is_bin, struct ft_buffer *out)
{
    static const char *const pieces[] = {"a", "bc", "é", "€", "😀", "\n", "\"", "\\", "0123456789"};
    struct ft_buffer text;
    ft_buffer_init(&text, 1024);
    for (uint64_t n = ft_input_random(state, 6); n > 0; n--)
        ft_buffer_add_str(&text, PICK(state, pieces));
    unsigned width = (unsigned)ft_input_random(state, 3);
    if (!is_bin && text.len < 32 && ft_input_random(state, 2))
        ft_buffer_add_byte(out, (uint8_t)(0xA0 | text.len));
    else
        msgpack_head(out, (is_bin ? 0xC4 : 0xD9) + width, text.len, 1u << width);
    ft_buffer_add(out, text.ptr, text.len);
    ft_buffer_fini(&text);
}

static void msgpack_container(uint64_t *state, unsigned depth, struct ft_buffer *out)
{
    bool is_map = ft_input_random(state, 2);
    uint64_t n = ft_input_random(state, ft_input_random(state, 12) ? 5 : 40);
    unsigned width = (unsigned)ft_input_random(state, 3);
    if (n < 16 && width == 0)
        ft_buffer_add_byte(out, (uint8_t)((is_map ? 0x80 : 0x90) | n));
    else
        msgpack_head(out, (is_map ? 0xDE : 0xDC) + width / 2, n, width == 2 ? 4 : 2);
    for (; n > 0; n--) {
        if (is_map)
            msgpack_string(state, false, out);
        ft_input_msgpack(state, depth - 1, out);
    }
}

void ft_input_msgpack(uint64_t *state, unsigned depth, struct ft_buffer *out)
{
    uint64_t kind = ft_input_random(state, depth > 0 ? 7 : 4);
    static const uint8_t words[] = {0xC0, 0xC2, 0xC3};
    if (kind == 0)
        ft_buffer_add_byte(out, words[ft_input_random(state, 3)]);
    else if (kind == 1)
        msgpack_number(state, out);
    else if (kind <= 3)
        msgpack_string(state, kind == 3, out);
    else
        msgpack_container(state, depth, out);
}

/* One edit: a bit, a byte that means something, a byte less, a byte twice, a cut. */
static void edit(uint64_t *state, struct ft_buffer *document)
{
    static const char loaded[] =
        "\"\\{}[]:,0123456789eE+-.tfnu \x01\x7f\x80\xc1\xc7\xd9\xdc\xdd\xdf\xff";
    size_t at = (size_t)ft_input_random(state, document->len);
    uint8_t *ptr = document->ptr;
    switch (ft_input_random(state, 5)) {
    case 0:
        ptr[at] ^= (uint8_t)(1u << ft_input_random(state, 8));
        return;
    case 1:
        ptr[at] = (uint8_t)loaded[ft_input_random(state, sizeof(loaded))];
        return;
    case 2:
        memmove(ptr + at, ptr + at + 1, document->len - at - 1);
        document->len--;
        return;
    case 3:
        if (!ft_buffer_reserve(document, 1))
            return;
        ptr = document->ptr;
        memmove(ptr + at + 1, ptr + at, document->len - at);
        document->len++;
        return;
    default:
        if (ft_input_random(state, 8) == 0)
            document->len = at;
    }
}

void ft_input_damage(uint64_t *state, struct ft_buffer *document)
{
    for (uint64_t n = 1 + ft_input_random(state, 3); n > 0 && document->len > 0; n--)
        edit(state, document);
}
