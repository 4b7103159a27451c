/* Publications: the frames that they are laid out as, read back by the clients' own reader, over every
 * kind of data, every length at which a header changes, and offsets of every length. */
#include "broker/base/alloc.h"
#include "broker/core/publication.h"
#include "protocol/base64.h"
#include "protocol/ws_frame.h"
#include "tests/unit/support/input.h"

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
    struct ft_slice frame = ft_publication_frame(p, (enum ft_frames)encoding, NULL);
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
    ft_publication_frame(p, FT_FRAMES_JSON, &made);
    cr_assert_eq(made, 0, "it is there from the beginning");
    struct ft_slice first = ft_publication_frame(p, FT_FRAMES_MSGPACK, &made);
    cr_assert_gt(made, first.len);
    struct ft_slice second = ft_publication_frame(p, FT_FRAMES_MSGPACK, &made);
    cr_assert_eq(made, 0);
    cr_assert_eq(second.ptr, first.ptr);
    drop(p);
}

/* ---- what is said about it, and where it is kept ---- */

static struct ft_publication *build_spec(struct ft_publication_spec *spec, uint64_t offset)
{
    spec->topic = ft_slice_str("a/b");
    spec->at_ms = AT_MS;
    spec->stream = STREAM;
    size_t size = ft_publication_size(spec);
    struct ft_publication *p = ft_publication_build(ft_alloc(size), size, spec);
    cr_assert_leq(p->size_, size);
    ft_publication_number(p, offset);
    return p;
}

/* Data of `n` bytes and more, in either encoding, so that headers of all three lengths are met. */
static struct ft_data data_of(enum ft_encoding encoding, size_t n, uint8_t *bytes)
{
    memset(bytes, 'x', n + 5);
    if (encoding == FT_JSON) {
        bytes[0] = bytes[n + 1] = '"';
        return (struct ft_data){FT_DATA_JSON, ft_slice(bytes, n + 2)};
    }
    bytes[0] = 0xdb;
    for (int i = 0; i < 4; i++)
        bytes[1 + i] = (uint8_t)(n >> (24 - 8 * i));
    return (struct ft_data){FT_DATA_MSGPACK, ft_slice(bytes, n + 5)};
}

/* Lengths of data around which the header of the frame, or of the marked one, changes. */
#define EACH_LENGTH(n) \
    for (size_t i_ = 0, n = 0; i_ < 260; i_++, n = i_ < 130 ? i_ : 65536 - 130 + i_ - 130)

static struct ft_slice payload_of(struct ft_slice frame, enum ft_encoding encoding)
{
    struct ft_ws_header header;
    cr_assert_eq(ft_ws_header_read(frame, &header), 1);
    cr_assert_eq(header.size + header.len, frame.len);
    cr_assert_eq(header.opcode, encoding == FT_JSON ? FT_WS_TEXT : FT_WS_BINARY);
    return ft_slice(frame.ptr + header.size, header.len);
}

static void read_payload(struct ft_slice payload, enum ft_encoding encoding, uint8_t *scratch,
                         struct ft_envelope *env)
{
    struct ft_reader reader;
    struct ft_problem problem;
    cr_assert_eq(ft_reader_begin(&reader, encoding, payload, scratch, &problem), FT_OK);
    cr_assert_eq(ft_reader_next(&reader, env, &problem), FT_OK, "%s", problem.text);
    cr_assert_not(ft_reader_has_more(&reader));
}

static void assert_envelope(const struct ft_envelope *env, size_t data_len, bool retained)
{
    cr_assert_eq(env->op, FT_OP_MSG);
    cr_assert(ft_slice_equal(env->topic, ft_slice_str("a/b")));
    cr_assert_eq(env->at_ms, AT_MS);
    cr_assert_eq(env->retained, retained);
    cr_assert_geq(env->data.bytes.len, data_len);
    cr_assert(ft_slice_equal(env->pos, ft_slice_str(STREAM ".4711")));
}

/* All that can be made of a publication, in both encodings, read back. */
static void assert_forms(const struct ft_publication *p, size_t data_len, uint8_t *scratch)
{
    for (int e = 0; e < FT_ENCODINGS; e++) {
        enum ft_encoding encoding = (enum ft_encoding)e;
        struct ft_slice frame = ft_publication_frame(p, (enum ft_frames)encoding, NULL);
        struct ft_envelope env;
        struct ft_buffer out;
        ft_buffer_init(&out, SIZE_MAX);
        read_payload(payload_of(frame, encoding), encoding, scratch, &env);
        assert_envelope(&env, data_len, false);

        ft_publication_add_retained(frame, (enum ft_frames)encoding, &out);
        read_payload(payload_of(ft_buffer_slice(&out), encoding), encoding, scratch, &env);
        assert_envelope(&env, data_len, true);

        ft_buffer_clear(&out);
        ft_publication_add_item(frame, encoding, &out);
        read_payload(ft_buffer_slice(&out), encoding, scratch, &env);
        cr_assert_null(env.op_name.ptr, "an item has no op");
        env.op = FT_OP_MSG;
        assert_envelope(&env, data_len, false);
        ft_buffer_fini(&out);
    }
}

Test(publication, last_values_and_items_of_a_history_are_whole_at_every_length, .timeout = 60)
{
    uint8_t *bytes = ft_alloc(70000), *scratch = ft_alloc(150000);
    for (int e = 0; e < FT_ENCODINGS; e++) {
        EACH_LENGTH(n)
        {
            struct ft_publication_spec spec = {.encoding = (enum ft_encoding)e,
                                               .data = data_of((enum ft_encoding)e, n, bytes)};
            struct ft_publication *p = build_spec(&spec, 4711);
            assert_forms(p, n, scratch);
            drop(p);
        }
    }
    free(bytes);
    free(scratch);
}

Test(publication, what_is_added_goes_behind_what_is_there)
{
    struct ft_data data = {FT_DATA_JSON, ft_slice_str("1")};
    struct ft_publication *p = build("t", data, 1);
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    ft_buffer_add_str(&out, "before");
    ft_publication_add_item(ft_publication_frame(p, FT_FRAMES_JSON, NULL), FT_JSON, &out);
    ft_buffer_add_str(&out, "after");
    static const char expected[] =
        "before{\"topic\":\"t\",\"data\":1,\"at\":1763700000123,\"pos\":\"teststream.1\"}after";
    cr_assert(ft_slice_equal(ft_buffer_slice(&out), ft_slice_str(expected)));
    ft_buffer_clear(&out);
    ft_publication_add_retained(ft_publication_frame(p, FT_FRAMES_JSON, NULL), FT_FRAMES_JSON,
                                &out);
    static const char retained[] =
        "{\"op\":\"msg\",\"topic\":\"t\",\"data\":1,\"at\":1763700000123,"
        "\"pos\":\"teststream.1\",\"retained\":true}";
    cr_assert(ft_slice_equal(ft_slice(out.ptr + 2, out.len - 2), ft_slice_str(retained)));
    ft_buffer_fini(&out);
    drop(p);
}

Test(publication, an_ephemeral_one_shows_no_position)
{
    uint8_t *bytes = ft_alloc(70000), *scratch = ft_alloc(150000);
    for (int e = 0; e < FT_ENCODINGS; e++) {
        EACH_LENGTH(n)
        {
            struct ft_publication_spec spec = {.encoding = (enum ft_encoding)e,
                                               .data = data_of((enum ft_encoding)e, n, bytes),
                                               .is_ephemeral = true};
            struct ft_publication *p = build_spec(&spec, 4711);
            cr_assert_eq(p->offset, 4711);
            cr_assert_eq(ft_publication_pos(p).len, 0);
            for (int k = 0; k < FT_ENCODINGS; k++) {
                enum ft_encoding encoding = (enum ft_encoding)k;
                struct ft_envelope env;
                struct ft_slice frame = ft_publication_frame(p, (enum ft_frames)encoding, NULL);
                read_payload(payload_of(frame, encoding), encoding, scratch, &env);
                cr_assert_null(env.pos.ptr);
                cr_assert_eq(env.at_ms, AT_MS);
                cr_assert_geq(env.data.bytes.len, n);
            }
            drop(p);
        }
    }
    free(bytes);
    free(scratch);
}

Test(publication, a_key_lies_beside_the_topic_and_changes_nothing_else)
{
    struct ft_key key = {{0x0123456789abcdef, 42}}, read = {{0, 0}};
    struct ft_publication_spec spec = {.data = {FT_DATA_JSON, ft_slice_str("[1,2]")}};
    struct ft_publication *without = build_spec(&spec, 7);
    spec.key = &key;
    struct ft_publication *with = build_spec(&spec, 7);
    cr_assert_not(ft_publication_key(without, &read));
    cr_assert_eq(read.words[0], 0, "untouched");
    cr_assert(ft_publication_key(with, &read));
    cr_assert_eq(memcmp(&read, &key, sizeof(key)), 0);
    for (int e = 0; e < FT_FRAMES_KINDS; e++)
        cr_assert(ft_slice_equal(ft_publication_frame(with, (enum ft_frames)e, NULL),
                                 ft_publication_frame(without, (enum ft_frames)e, NULL)));
    cr_assert(ft_slice_equal(ft_publication_topic(with), ft_slice_str("a/b")));
    drop(with);
    drop(without);
}

Test(publication, a_copy_stands_alone)
{
    struct ft_key key = {{1, 2}}, read;
    struct ft_publication_spec spec = {.data = {FT_DATA_JSON, ft_slice_str("{\"a\":[1]}")},
                                       .expires_ds = 99,
                                       .history = 5,
                                       .is_retained = true,
                                       .key = &key};
    struct ft_publication *p = build_spec(&spec, 12);
    struct ft_slice packed = ft_publication_frame(p, FT_FRAMES_MSGPACK, NULL);
    struct ft_slice kept = ft_input_exact(packed);
    struct ft_publication *copy = ft_publication_copy(p, ft_alloc(p->size_));
    struct ft_slice json = ft_input_exact(ft_publication_frame(p, FT_FRAMES_JSON, NULL));
    drop(p); /* with the second encoding that hung off it */
    cr_assert(ft_slice_equal(ft_publication_frame(copy, FT_FRAMES_JSON, NULL), json));
    size_t made;
    cr_assert(ft_slice_equal(ft_publication_frame(copy, FT_FRAMES_MSGPACK, &made), kept));
    cr_assert_gt(made, 0, "it made its own");
    cr_assert_eq(copy->offset, 12);
    cr_assert_eq(copy->history, 5);
    cr_assert(copy->is_retained);
    cr_assert_not(ft_publication_is_expired(copy, 98));
    cr_assert(ft_publication_is_expired(copy, 99));
    cr_assert(ft_publication_key(copy, &read));
    cr_assert(ft_slice_equal(ft_publication_pos(copy), ft_slice_str(STREAM ".12")));
    ft_input_free(kept);
    ft_input_free(json);
    drop(copy);
}

Test(publication, without_a_ttl_it_never_is_past_its_time)
{
    struct ft_data data = {FT_DATA_JSON, ft_slice_str("1")};
    struct ft_publication *p = build("t", data, 1);
    cr_assert_not(ft_publication_is_expired(p, UINT32_MAX));
    drop(p);
}

/* ---- events ---- */

static void assert_event(const struct ft_publication *p, const char *expected)
{
    struct ft_slice event = ft_publication_frame(p, FT_FRAMES_EVENTS, NULL);
    cr_assert(ft_slice_equal(event, ft_slice_str(expected)), "got %.*s", (int)event.len,
              (const char *)event.ptr);
}

Test(publication, as_an_event_it_has_its_position_as_id)
{
    struct ft_data data = {FT_DATA_JSON, ft_slice_str("{\"a\":[1]}")};
    struct ft_publication *p = build("t/\"q\"", data, 17);
    assert_event(p, "id: teststream.17\n"
                    "data: {\"op\":\"msg\",\"topic\":\"t/\\\"q\\\"\",\"data\":{\"a\":[1]},"
                    "\"at\":1763700000123,\"pos\":\"teststream.17\"}\n\n");
    drop(p);
}

Test(publication, an_event_is_one_line_whatever_white_space_the_json_has)
{
    struct ft_data data = {FT_DATA_JSON, ft_slice_str("{\r\n\"a\\n\":\n[1,\r2]\n\n}")};
    struct ft_publication *p = build("t", data, 1);
    assert_event(p, "id: teststream.1\n"
                    "data: {\"op\":\"msg\",\"topic\":\"t\",\"data\":{  \"a\\n\": [1, 2]  },"
                    "\"at\":1763700000123,\"pos\":\"teststream.1\"}\n\n");
    drop(p);
}

Test(publication, an_event_of_messagepack_holds_the_json)
{
    struct ft_data data = {FT_DATA_BYTES, ft_slice("\x01\x02\x03", 3)};
    struct ft_publication_spec spec = {.encoding = FT_MSGPACK, .data = data, .is_ephemeral = true};
    struct ft_publication *p = build_spec(&spec, 9);
    assert_event(
        p, "data: {\"op\":\"msg\",\"topic\":\"a/b\",\"b64\":\"AQID\",\"at\":1763700000123}\n\n");
    struct ft_slice json = ft_publication_frame(p, FT_FRAMES_JSON, NULL);
    cr_assert_eq(json.ptr[0], 0x81, "a frame of its own, made after the event");
    drop(p);
}

Test(publication, an_event_is_made_once_and_counted_once)
{
    struct ft_data data = {FT_DATA_JSON, ft_slice_str("1")};
    struct ft_publication *p = build("t", data, 1);
    size_t made, again;
    struct ft_slice first = ft_publication_frame(p, FT_FRAMES_EVENTS, &made);
    struct ft_slice second = ft_publication_frame(p, FT_FRAMES_EVENTS, &again);
    cr_assert_eq(first.ptr, second.ptr);
    cr_assert_eq(made, sizeof(struct ft_frame) + first.len);
    cr_assert_eq(again, 0);
    cr_assert_neq(ft_publication_frame(p, FT_FRAMES_MSGPACK, NULL).ptr, first.ptr);
    drop(p);
}

Test(publication, a_last_value_is_marked_in_its_event_too)
{
    struct ft_data data = {FT_DATA_JSON, ft_slice_str("1")};
    struct ft_publication *p = build("t", data, 1);
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    ft_publication_add_retained(ft_publication_frame(p, FT_FRAMES_EVENTS, NULL), FT_FRAMES_EVENTS,
                                &out);
    static const char expected[] =
        "id: teststream.1\ndata: {\"op\":\"msg\",\"topic\":\"t\",\"data\":1,\"at\":1763700000123,"
        "\"pos\":\"teststream.1\",\"retained\":true}\n\n";
    cr_assert(ft_slice_equal(ft_buffer_slice(&out), ft_slice_str(expected)));
    ft_buffer_fini(&out);
    drop(p);
}
