/* The WebSocket handshake's proof, and the SHA-1 in it. */
#include "protocol/sha1.h"
#include "protocol/ws_accept.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const char *hex_of(struct ft_slice bytes)
{
    static char hex[2 * FT_SHA1_BYTES + 1];
    uint8_t digest[FT_SHA1_BYTES];
    ft_sha1(bytes, digest);
    for (size_t i = 0; i < FT_SHA1_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

Test(sha1, has_the_digests_of_rfc_3174)
{
    cr_assert_str_eq(hex_of(ft_slice_str("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    cr_assert_str_eq(
        hex_of(ft_slice_str("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    uint8_t *many = malloc(1000000);
    memset(many, 'a', 1000000);
    cr_assert_str_eq(hex_of(ft_slice(many, 1000000)), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    free(many);
}

/* What hashlib says of n times 'x', around the lengths at which the padding takes another block. */
Test(sha1, pads_at_the_edge_of_a_block)
{
    static const struct {
        size_t n;
        const char *digest;
    } rows[] = {
        {0, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {55, "cef734ba81a024479e09eb5a75b6ddae62e6abf1"},
        {56, "901305367c259952f4e7af8323f480d59f81335b"},
        {63, "0ddc4e0cccd9a12850deb5abb0853a4425559fec"},
        {64, "bb2fa3ee7afb9f54c6dfb5d021f14b1ffe40c163"},
        {119, "4300320394f7ee239bcdce7d3b8bcee173a0cd5c"},
        {128, "150fa3fbdc899bd0b8f95a9fb6027f564d953762"},
    };
    char text[129];
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_assert_str_eq(hex_of(ft_slice(text, rows[i].n)), rows[i].digest, "%zu bytes", rows[i].n);
}

Test(ws_accept, answers_the_sample_of_rfc_6455)
{
    char accept[FT_WS_ACCEPT_LEN + 1];
    ft_ws_accept(ft_slice_str("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    cr_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
