/*
 * Base64, standard alphabet, padded, canonical only: one text for one run of bytes, so that what a
 * publisher sent and what a subscriber gets back are the same text. Pure; any thread.
 */
#include "protocol/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The six bits that a character stands for, 0x80 for what is no character of the alphabet. Computed
 * by ranges, without a table: the compiler makes it branch-light and it is off the hot path. */
static inline uint8_t bits_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint8_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint8_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0' + 52);
    if (c == '+')
        return 62;
    return c == '/' ? 63 : 0x80;
}

size_t ft_base64_encode(struct ft_slice bytes, char *out)
{
    char *to = out;
    size_t at = 0;
    for (; bytes.len - at >= 3; at += 3) {
        const uint8_t *p = bytes.ptr + at;
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        *to++ = alphabet[v >> 6 & 63];
        *to++ = alphabet[v & 63];
    }
    size_t left = bytes.len - at;
    if (left > 0) {
        uint32_t v = (uint32_t)bytes.ptr[at] << 16;
        if (left == 2)
            v |= (uint32_t)bytes.ptr[at + 1] << 8;
        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        *to++ = left == 2 ? alphabet[v >> 6 & 63] : '=';
        *to++ = '=';
    }
    return (size_t)(to - out);
}

/* Reads four characters that hold `bytes` bytes (3, or 2 or 1 before padding). False when one is not
 * of the alphabet or a bit that stands for nothing is set. */
static bool read_group(const uint8_t *from, size_t bytes, uint8_t to[3])
{
    uint8_t a = bits_of(from[0]);
    uint8_t b = bits_of(from[1]);
    uint8_t c = bytes > 1 ? bits_of(from[2]) : 0;
    uint8_t d = bytes > 2 ? bits_of(from[3]) : 0;
    if ((a | b | c | d) & 0x80)
        return false;
    uint32_t v = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;
    if (v & ((1u << (24 - 8 * bytes)) - 1))
        return false;
    to[0] = (uint8_t)(v >> 16);
    to[1] = (uint8_t)(v >> 8);
    to[2] = (uint8_t)v;
    return true;
}

bool ft_base64_decode(struct ft_slice text, uint8_t *out, size_t *len)
{
    if (text.len % 4 != 0)
        return false;
    size_t total = 0;
    for (size_t at = 0; at < text.len; at += 4) {
        const uint8_t *from = text.ptr + at;
        size_t bytes = 3;
        if (at + 4 == text.len && from[3] == '=')
            bytes = from[2] == '=' ? 1 : 2;
        uint8_t group[3];
        if (!read_group(from, bytes, group))
            return false;
        if (out)
            memcpy(out + total, group, bytes);
        total += bytes;
    }
    *len = total;
    return true;
}
