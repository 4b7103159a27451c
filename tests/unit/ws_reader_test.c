/*
 * The reader of a client's frames: what it lends, what it leaves, and each broken rule; random streams in
 * random pieces against a slow twin (support/ws_twin.h).
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "protocol/ws_frame.h"
#include "protocol/ws_reader.h"
#include "tests/unit/support/input.h"
#include "tests/unit/support/ws_twin.h"

/* A connection: bytes come, are read, and what cannot be read yet is kept. */
struct peer {
    struct ft_ws_reader reader;
    struct ft_buffer kept;
    struct ft_buffer said; /* as ws_twin.h notes it */
    bool has_failed;
};

static void peer_init(struct peer *peer)
{
    *peer = (struct peer){0};
    ft_buffer_init(&peer->kept, 1 << 20);
    ft_buffer_init(&peer->said, 1 << 22);
}

static void peer_fini(struct peer *peer)
{
    ft_buffer_fini(&peer->kept);
    ft_buffer_fini(&peer->said);
}

/* An error stays one, and takes nothing. */
static void check_failed(struct peer *peer, uint8_t *at, size_t len)
{
    struct ft_ws_item item = {0};
    uint8_t *again = at;
    size_t left = len;
    cr_assert_eq(ft_ws_read(&peer->reader, &again, &left, &item), FT_WS_GOT_ERROR);
    cr_assert(again == at && left == len);
    peer->has_failed = true;
}

/* Reads what was kept and `bytes`, from memory of exactly that size. */
static void receive(struct peer *peer, struct ft_slice bytes)
{
    ft_buffer_add(&peer->kept, bytes.ptr, bytes.len);
    struct ft_slice exact = ft_input_exact(ft_buffer_slice(&peer->kept));
    uint8_t *at = (uint8_t *)(uintptr_t)exact.ptr;
    size_t len = exact.len;
    enum ft_ws_got got = FT_WS_GOT_NOTHING;
    uint64_t to_come = 0;
    while (!peer->has_failed) {
        struct ft_ws_item item = {0};
        got = ft_ws_read(&peer->reader, &at, &len, &item);
        if (got == FT_WS_GOT_NOTHING)
            break;
        ft_ws_note(got, &item, &peer->said);
        cr_assert_eq(at + len, exact.ptr + exact.len);
        if (got == FT_WS_GOT_ERROR)
            check_failed(peer, at, len);
        to_come = got == FT_WS_GOT_PIECE ? item.to_come : 0;
        cr_assert(to_come == 0 || len == 0, "what was announced is taken as it comes");
        cr_assert(to_come == 0 || !item.is_last);
    }
    if (!peer->has_failed)
        cr_assert_lt(len, FT_WS_UNREAD_MAX, "%zu bytes are left", len);
    ft_buffer_clear(&peer->kept);
    ft_buffer_add(&peer->kept, at, len);
    ft_input_free(exact);
}

static void put_frame(struct ft_buffer *out, uint8_t first, struct ft_slice payload)
{
    static const uint8_t mask[4] = {0xA1, 0x02, 0xC3, 0x7F};
    uint8_t header[FT_WS_HEADER_MAX];
    size_t size = ft_ws_client_header(FT_WS_TEXT, payload.len, mask, header);
    header[0] = first;
    ft_buffer_add(out, header, size);
    for (size_t i = 0; i < payload.len; i++)
        ft_buffer_add_byte(out, payload.ptr[i] ^ mask[i % 4]);
}

static void put_text(struct ft_buffer *out, uint8_t first, const char *payload)
{
    put_frame(out, first, ft_slice_str(payload));
}

static void assert_said(struct peer *peer, const char *expected)
{
    ft_buffer_add_byte(&peer->said, '\0');
    cr_assert_str_eq((const char *)peer->said.ptr, expected);
    peer->said.len--;
}

Test(ws_reader, a_small_message_in_one_frame_is_one_piece)
{
    struct ft_slice frame = ft_input_hex("81 85 37fa213d 7f9f4d5158" /* RFC 6455 section 5.7 */);
    struct ft_ws_reader reader = {0};
    uint8_t *at = (uint8_t *)(uintptr_t)frame.ptr;
    size_t len = frame.len;
    struct ft_ws_item item;
    cr_assert_eq(ft_ws_read(&reader, &at, &len, &item), FT_WS_GOT_PIECE);
    cr_assert(ft_slice_equal(item.bytes, ft_slice_str("Hello")));
    cr_assert_eq(item.bytes.ptr, frame.ptr + 6, "unmasked in place");
    cr_assert(item.is_text && item.is_first && item.is_last && item.to_come == 0);
    cr_assert_eq(len, 0);
    cr_assert_eq(ft_ws_read(&reader, &at, &len, &item), FT_WS_GOT_NOTHING);
    ft_input_free(frame);
}

Test(ws_reader, a_header_alone_is_a_piece_of_no_bytes_that_says_what_is_to_come)
{
    struct ft_slice header = ft_input_hex("82 ff 7fffffffffffffff 01020304");
    struct ft_ws_reader reader = {0};
    uint8_t *at = (uint8_t *)(uintptr_t)header.ptr;
    size_t len = header.len;
    struct ft_ws_item item;
    cr_assert_eq(ft_ws_read(&reader, &at, &len, &item), FT_WS_GOT_PIECE);
    cr_assert_eq(item.bytes.len, 0);
    cr_assert_eq(item.to_come, INT64_MAX);
    cr_assert(!item.is_text && item.is_first && !item.is_last);
    uint8_t more[3] = {'a' ^ 1, 'b' ^ 2, 'c' ^ 3};
    at = more;
    len = sizeof(more);
    cr_assert_eq(ft_ws_read(&reader, &at, &len, &item), FT_WS_GOT_PIECE);
    cr_assert(ft_slice_equal(item.bytes, ft_slice_str("abc")));
    cr_assert_eq(item.to_come, INT64_MAX - 3);
    cr_assert(!item.is_text && !item.is_first && !item.is_last);
    ft_input_free(header);
}

Test(ws_reader, control_frames_come_between_the_fragments_of_a_message)
{
    struct ft_buffer stream;
    ft_buffer_init(&stream, 4096);
    put_text(&stream, 0x01, "ab");
    put_text(&stream, 0x89, "?");
    put_text(&stream, 0x00, "");
    put_text(&stream, 0x8A, "");
    put_text(&stream, 0x80, "c");
    put_text(&stream, 0x02, "");
    put_text(&stream, 0x80, "");
    put_text(&stream, 0x82, "d");
    put_text(&stream, 0x88, "");
    struct peer peer;
    peer_init(&peer);
    receive(&peer, ft_buffer_slice(&stream));
    assert_said(&peer, "<t=a=bP=?.p.=c><b><b=d>C.");
    peer_fini(&peer);
    ft_buffer_fini(&stream);
}

Test(ws_reader, a_control_frame_is_taken_whole_and_the_longest_one_too)
{
    uint8_t payload[FT_WS_CONTROL_MAX];
    memset(payload, 'x', sizeof(payload));
    struct ft_buffer frame;
    ft_buffer_init(&frame, 4096);
    put_frame(&frame, 0x89, ft_slice(payload, sizeof(payload)));
    cr_assert_eq(frame.len, FT_WS_UNREAD_MAX);
    struct peer peer;
    peer_init(&peer);
    for (size_t i = 0; i < frame.len; i++) {
        cr_assert_eq(peer.said.len, 0, "%zu bytes", i);
        receive(&peer, ft_slice(frame.ptr + i, 1));
    }
    cr_assert_eq(peer.said.len, 2 + 2 * sizeof(payload));
    peer_fini(&peer);
    ft_buffer_fini(&frame);
}

/* What came before is fine, and so is each byte up to the last one. */
static const struct {
    const char *rule, *before, *bytes;
} broken[] = {
    {"the first reserved bit is not ours", "", "c1"},
    {"nor the second", "", "a2"},
    {"nor the third, which a control frame has as little", "", "99"},
    {"clients mask", "", "81 05"},
    {"also what is empty", "", "82 00"},
    {"also pings", "", "89 00"},
    {"also what is long", "", "82 7e"},
    {"opcode 3 means nothing", "", "83"},
    {"opcode 7 means nothing", "", "07"},
    {"opcode 11 means nothing", "", "8b"},
    {"opcode 15 means nothing", "", "8f"},
    {"a ping has no fragments", "", "09"},
    {"a close has no fragments", "", "08"},
    {"a pong has no fragments", "", "0a"},
    {"a ping is short", "", "89 fe"},
    {"a close is short", "", "88 ff"},
    {"nothing goes on that has not begun", "", "80"},
    {"nor with a fragment", "", "00"},
    {"nor after a message", "81 81 00000000 61", "80"},
    {"nor after a message of fragments", "01 80 00000000 80 80 00000000", "00"},
    {"a message ends before the next text", "01 81 00000000 61", "81"},
    {"or the next binary one", "02 80 00000000", "02"},
    {"also after a ping", "01 80 00000000 89 80 00000000", "82"},
    {"125 bytes need no second length", "", "82 fe 007d"},
    {"0 bytes even less", "", "81 fe 0000"},
    {"65535 bytes need no third length", "", "82 ff 000000000000ffff"},
    {"no length has its top bit set", "", "82 ff 8000000000000000"},
};

Test(ws_reader, each_broken_rule_is_told_by_its_last_byte)
{
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct ft_slice before = ft_input_hex(broken[i].before);
        struct ft_slice bytes = ft_input_hex(broken[i].bytes);
        struct peer peer;
        peer_init(&peer);
        receive(&peer, before);
        for (size_t n = 0; n < bytes.len; n++) {
            cr_assert(!peer.has_failed, "%s: %zu", broken[i].rule, n);
            receive(&peer, ft_slice(bytes.ptr + n, 1));
        }
        cr_assert(peer.has_failed, "%s", broken[i].rule);
        peer_fini(&peer);
        ft_input_free(before);
        ft_input_free(bytes);
    }
}

Test(ws_reader, a_small_frame_breaks_the_same_rules_where_all_of_it_is_there)
{
    static const char *const frames[] = {
        "c1 81 00000000 61", "83 81 00000000 61", "80 81 00000000 61",
        "81 01 61000000 61", "8b 80 00000000",    "81 fe 0001 00000000 61",
    };
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct ft_slice bytes = ft_input_hex(frames[i]);
        struct peer peer;
        peer_init(&peer);
        receive(&peer, bytes);
        cr_assert(peer.has_failed, "%s", frames[i]);
        assert_said(&peer, "!");
        peer_fini(&peer);
        ft_input_free(bytes);
    }
}

/* Appends a frame that is mostly one that may come now; `is_open` follows the message. */
static void put_random_frame(uint64_t *state, struct ft_buffer *out, bool *is_open)
{
    static const size_t lengths[] = {0,  1,  2,   3,   4,   5,   7,     8,    9,
                                     31, 32, 125, 126, 127, 300, 65535, 65536};
    static const uint8_t controls[] = {0x88, 0x89, 0x8A};
    uint8_t first;
    bool is_control = ft_input_random(state, 4) == 0;
    bool is_final = ft_input_random(state, 2);
    if (is_control)
        first = controls[ft_input_random(state, 3)];
    else
        first = (uint8_t)((is_final ? 0x80 : 0) | (*is_open ? 0 : 1 + ft_input_random(state, 2)));
    if (!is_control)
        *is_open = !is_final;
    if (ft_input_random(state, 60) == 0)
        first ^= (uint8_t)(1u << ft_input_random(state, 8));

    size_t len = lengths[ft_input_random(state, ft_input_random(state, 8) ? 14 : 17)];
    if (is_control && len > FT_WS_CONTROL_MAX)
        len = FT_WS_CONTROL_MAX;
    uint8_t mask[4], header[FT_WS_HEADER_MAX];
    for (size_t i = 0; i < sizeof(mask); i++)
        mask[i] = (uint8_t)ft_input_random(state, 256);
    size_t size = ft_ws_client_header(FT_WS_TEXT, len, mask, header);
    header[0] = first;
    if (ft_input_random(state, 60) == 0)
        header[1] &= 0x7F;
    ft_buffer_add(out, header, size);
    for (size_t i = 0; i < len; i++)
        ft_buffer_add_byte(out, (uint8_t)ft_input_random(state, 256));
}

static void check_pieces(uint64_t *state, struct ft_slice stream, struct ft_slice expected,
                         size_t longest)
{
    struct peer peer;
    peer_init(&peer);
    for (size_t at = 0, n; at < stream.len && !peer.has_failed; at += n) {
        n = 1 + (size_t)ft_input_random(state, longest);
        n = n < stream.len - at ? n : stream.len - at;
        receive(&peer, ft_slice(stream.ptr + at, n));
    }
    cr_assert(ft_slice_equal(ft_buffer_slice(&peer.said), expected),
              "%zu bytes, in pieces of at most %zu", stream.len, longest);
    peer_fini(&peer);
}

Test(ws_reader, agrees_with_a_slow_twin_whatever_the_pieces)
{
    uint64_t state = 11;
    size_t failed = 0;
    for (int round = 0; round < 300; round++) {
        struct ft_buffer stream, expected;
        ft_buffer_init(&stream, 1 << 20);
        ft_buffer_init(&expected, 1 << 22);
        bool is_open = false;
        for (uint64_t n = 1 + ft_input_random(&state, 20); n > 0; n--)
            put_random_frame(&state, &stream, &is_open);
        if (ft_input_random(&state, 3) == 0)
            stream.len -= (size_t)ft_input_random(&state, stream.len);
        ft_ws_twin(ft_buffer_slice(&stream), &expected);
        failed += expected.len > 0 && expected.ptr[expected.len - 1] == '!';
        check_pieces(&state, ft_buffer_slice(&stream), ft_buffer_slice(&expected), 1);
        check_pieces(&state, ft_buffer_slice(&stream), ft_buffer_slice(&expected), 20);
        check_pieces(&state, ft_buffer_slice(&stream), ft_buffer_slice(&expected), 3000);
        check_pieces(&state, ft_buffer_slice(&stream), ft_buffer_slice(&expected), 1 << 20);
        ft_buffer_fini(&stream);
        ft_buffer_fini(&expected);
    }
    cr_assert(failed > 20 && failed < 200, "%zu of the streams break a rule", failed);
}
