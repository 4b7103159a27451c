/*
 * SHA-1 by the book (RFC 3174 section 6.1), one message at a time. Once per handshake, so it is short
 * rather than fast. Pure; any thread.
 */
#include "protocol/sha1.h"

#define BLOCK 64

static uint32_t rotate(uint32_t word, unsigned n)
{
    return word << n | word >> (32 - n);
}

/* The function and constant of each round of twenty. */
static uint32_t mix(unsigned t, uint32_t b, uint32_t c, uint32_t d)
{
    if (t < 20)
        return ((b & c) | (~b & d)) + 0x5A827999;
    if (t < 40)
        return (b ^ c ^ d) + 0x6ED9EBA1;
    if (t < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC;
    return (b ^ c ^ d) + 0xCA62C1D6;
}

static void add_block(uint32_t hash[5], const uint8_t block[BLOCK])
{
    uint32_t w[80];
    for (unsigned t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
    for (unsigned t = 16; t < 80; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
    for (unsigned t = 0; t < 80; t++) {
        uint32_t next = rotate(a, 5) + mix(t, b, c, d) + e + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
    hash[4] += e;
}

void ft_sha1(struct ft_slice bytes, uint8_t digest[FT_SHA1_BYTES])
{
    uint32_t hash[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    size_t at = 0;
    for (; bytes.len - at >= BLOCK; at += BLOCK)
        add_block(hash, bytes.ptr + at);

    /* The rest, a one bit, zeros, and the length in bits fill one block or two. */
    uint8_t last[2 * BLOCK] = {0};
    size_t left = bytes.len - at, size = left + 9 <= BLOCK ? BLOCK : 2 * BLOCK;
    if (left > 0)
        memcpy(last, bytes.ptr + at, left);
    last[left] = 0x80;
    uint64_t bits = (uint64_t)bytes.len * 8;
    for (size_t i = 0; i < 8; i++)
        last[size - 1 - i] = (uint8_t)(bits >> (8 * i));
    for (size_t i = 0; i < size; i += BLOCK)
        add_block(hash, last + i);

    for (size_t i = 0; i < FT_SHA1_BYTES; i++)
        digest[i] = (uint8_t)(hash[i / 4] >> (24 - 8 * (i % 4)));
}
