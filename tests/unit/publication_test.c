/* Publications: the frames that they are laid out as, read back by the clients' own reader, over every
 * kind of data, every length at which a header changes, and offsets of every length. */
#include "broker/base/alloc.h"
#include "broker/core/publication.h"
#include "protocol/base64.h"
#include "protocol/ws_frame.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STREAM        "teststream"
#define AT_MS         UINT64_C(1763700000123)
#define LONGEST_TOPIC 255

static struct ft_publication *build(const char *topic, struct ft_data data, uint64_t offset)
{
    struct ft_publication_spec spec = {
        .encoding = data.kind == FT_DATA_JSON || data.kind == FT_DATA_B64 ? FT_JSON : FT_MSGPACK,
        .topic = ft_slice_str(topic),
        .data = data,
        .at_ms = AT_MS,
        .stream = STREAM,
    };
    size_t size = ft_publication_size(&spec);
    struct ft_publication *p = ft_publication_build(ft_alloc(size), size, &spec);
    cr_assert_leq(p->size_, size);
    ft_publication_number(p, offset);
    return p;
}

static void drop(struct ft_publication *p)
{
    ft_publication_fini(p);
    free(p);
}

/* Reads a frame back and checks all of it but the data, which it returns. */
static struct ft_data read_back(const struct ft_publication *p, enum ft_encoding encoding,
                                const char *topic, uint64_t offset, uint8_t *scratch)
{
    struct ft_slice frame = ft_publication_frame(p, encoding, NULL);
    struct ft_ws_header header;
    cr_assert_eq(ft_ws_header_read(frame, &header), 1);
    cr_assert(header.is_final);
    cr_assert_not(header.is_masked);
    cr_assert_eq(header.opcode, encoding == FT_JSON ? FT_WS_TEXT : FT_WS_BINARY);
    cr_assert_eq(header.size + header.len, frame.len, "the frame is whole, and nothing else");

    struct ft_reader reader;
    struct ft_envelope env;
    struct ft_problem problem;
    struct ft_slice payload = ft_slice(frame.ptr + header.size, header.len);
    cr_assert_eq(ft_reader_begin(&reader, encoding, payload, scratch, &problem), FT_OK);
    cr_assert_eq(ft_reader_next(&reader, &env, &problem), FT_OK, "%s", problem.text);
    cr_assert_not(ft_reader_has_more(&reader));
    cr_assert_eq(env.op, FT_OP_MSG);
    cr_assert(ft_slice_equal(env.topic, ft_slice_str(topic)));
    cr_assert_eq(env.at_ms, AT_MS);
    char pos[FT_POS_LEN_MAX + 1];
    snprintf(pos, sizeof(pos), STREAM ".%" PRIu64, offset);
    cr_assert(ft_slice_equal(env.pos, ft_slice_str(pos)));
    cr_assert(ft_slice_equal(ft_publication_pos(p), ft_slice_str(pos)));
    return env.data;
}

static void assert_data(struct ft_data data, enum ft_data_kind kind, const void *bytes, size_t n)
{
    cr_assert_eq(data.kind, kind);
    cr_assert(ft_slice_equal(data.bytes, ft_slice(bytes, n)));
}

Test(publication, json_reaches_both_encodings)
{
    static const char json[] = "{\"a\": [1.50, \"x\\n\"], \"b\":null}";
    static const char packed[] = "\x82\xa1"
                                 "a\x92\xcb\x3f\xf8\0\0\0\0\0\0\xa2x\n\xa1"
                                 "b\xc0";
    struct ft_data data = {FT_DATA_JSON, ft_slice_str(json)};
    struct ft_publication *p = build("a/b", data, 1);
    uint8_t scratch[512];
    assert_data(read_back(p, FT_JSON, "a/b", 1, scratch), FT_DATA_JSON, json, sizeof(json) - 1);
    assert_data(read_back(p, FT_MSGPACK, "a/b", 1, scratch), FT_DATA_MSGPACK, packed,
                sizeof(packed) - 1);
    assert_data(ft_publication_data(p), FT_DATA_JSON, json, sizeof(json) - 1);
    drop(p);
}

Test(publication, bytes_reach_both_encodings_from_either)
{
    static const char raw[] = {0, 1, (char)0xff, 'x'};
    static const char b64[] = "AAH/eA==";
    static const char bin[] = {(char)0xc4, 4, 0, 1, (char)0xff, 'x'};
    struct ft_data forms[] = {{FT_DATA_B64, ft_slice_str(b64)},
                              {FT_DATA_BYTES, ft_slice(raw, sizeof(raw))},
                              {FT_DATA_MSGPACK, ft_slice(bin, sizeof(bin))}};
    for (size_t i = 0; i < 3; i++) {
        struct ft_publication *p = build("t", forms[i], 1);
        uint8_t scratch[256];
        assert_data(read_back(p, FT_JSON, "t", 1, scratch), FT_DATA_B64, b64, sizeof(b64) - 1);
        assert_data(read_back(p, FT_MSGPACK, "t", 1, scratch), FT_DATA_MSGPACK, bin, sizeof(bin));
        drop(p);
    }
}

Test(publication, every_topic_is_quoted_as_it_has_to_be)
{
    char longest[LONGEST_TOPIC + 1];
    memset(longest, '"', LONGEST_TOPIC);
    longest[LONGEST_TOPIC] = '\0';
    const char *topics[] = {
        "a", "/", "//", "\\", "\"", "sag \"ja\"/\\o/", "\xc3\xa9t\xc3\xa9/\xe2\x82\xac", longest};
    struct ft_data data = {FT_DATA_JSON, ft_slice_str("1")};
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        struct ft_publication *p = build(topics[i], data, 7);
        uint8_t scratch[1024];
        read_back(p, FT_JSON, topics[i], 7, scratch);
        read_back(p, FT_MSGPACK, topics[i], 7, scratch);
        cr_assert(ft_slice_equal(ft_publication_topic(p), ft_slice_str(topics[i])));
        drop(p);
    }
}

/* The offset comes last and decides the length, and so the header, which stands before everything. */
Test(publication, headers_fit_at_every_length_and_offset)
{
    static const uint64_t offsets[] = {1, 9, 10, 99, 100, 99999, 100000, (UINT64_C(1) << 50) - 1};
    static const size_t lengths[] = {0,  10, 30, 31, 32, 33, 34, 35, 36, 37, 38,  39,  40, 41,
                                     42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,  53,  54, 55,
                                     56, 57, 58, 59, 60, 61, 62, 63, 64, 70, 200, 255, 256};
    char *json = ft_alloc(70000);
    uint8_t *scratch = ft_alloc(100000);
    for (size_t o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++) {
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]) + 100; i++) {
            size_t known = sizeof(lengths) / sizeof(lengths[0]);
            size_t n = i < known ? lengths[i] : 65410 + i; /* around 65,535 of payload */
            json[0] = '"';
            memset(json + 1, 'x', n);
            json[n + 1] = '"';
            struct ft_data data = {FT_DATA_JSON, ft_slice(json, n + 2)};
            struct ft_publication *p = build("t", data, offsets[o]);
            assert_data(read_back(p, FT_JSON, "t", offsets[o], scratch), FT_DATA_JSON, json, n + 2);
            cr_assert_eq(read_back(p, FT_MSGPACK, "t", offsets[o], scratch).kind, FT_DATA_MSGPACK);
            drop(p);
        }
    }
    free(json);
    free(scratch);
}

Test(publication, the_other_encoding_is_made_once)
{
    struct ft_data data = {FT_DATA_JSON, ft_slice_str("[1,2,3]")};
    struct ft_publication *p = build("t", data, 1);
    size_t made;
    ft_publication_frame(p, FT_JSON, &made);
    cr_assert_eq(made, 0, "it is there from the beginning");
    struct ft_slice first = ft_publication_frame(p, FT_MSGPACK, &made);
    cr_assert_gt(made, first.len);
    struct ft_slice second = ft_publication_frame(p, FT_MSGPACK, &made);
    cr_assert_eq(made, 0);
    cr_assert_eq(second.ptr, first.ptr);
    drop(p);
}
