/* WebSocket headers, masks and close payloads against protocol/vectors/ws_frames.json. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "protocol/utf8.h"
#include "protocol/ws_frame.h"
#include "tests/unit/support/input.h"
#include "tests/unit/support/vectors.h"

/* Calls `row_test` with each row of a section and the bytes of its `hex`. */
static void each_row(const char *section, void (*row_test)(const json_t *row, struct ft_slice hex))
{
    json_t *vectors = ft_vectors_load("protocol/vectors/ws_frames.json");
    size_t i;
    json_t *row;
    json_array_foreach(ft_vectors_rows(vectors, section), i, row)
    {
        const char *hex = json_string_value(json_object_get(row, "hex"));
        struct ft_slice bytes = ft_input_hex(hex ? hex : "");
        row_test(row, bytes);
        ft_input_free(bytes);
    }
    json_decref(vectors);
}

static void check_header(const json_t *row, struct ft_slice hex)
{
    const char *name = ft_vectors_text(row, "name");
    struct ft_ws_header header;
    cr_assert_eq(ft_ws_header_read(hex, &header), 1, "%s", name);
    cr_expect_eq(header.size, hex.len, "%s", name);
    cr_expect_eq(header.is_final, ft_vectors_is(row, "final"), "%s", name);
    cr_expect_eq(header.reserved, ft_vectors_uint(row, "reserved"), "%s", name);
    cr_expect_eq(header.opcode, ft_vectors_uint(row, "opcode"), "%s", name);
    cr_expect_eq(header.len, ft_vectors_uint(row, "len"), "%s", name);
    bool is_masked = json_object_get(row, "mask_hex") != NULL;
    cr_expect_eq(header.is_masked, is_masked, "%s", name);

    uint8_t out[FT_WS_HEADER_MAX];
    size_t size;
    if (is_masked) {
        struct ft_slice mask = ft_input_hex(ft_vectors_text(row, "mask_hex"));
        cr_expect_eq(memcmp(header.mask, mask.ptr, 4), 0, "%s", name);
        size = ft_ws_client_header((enum ft_ws_opcode)header.opcode, header.len, mask.ptr, out);
        ft_input_free(mask);
    } else {
        size = ft_ws_server_header((enum ft_ws_opcode)header.opcode, header.len, out);
        cr_expect_eq(size, ft_ws_server_header_size(header.len), "%s", name);
    }
    if (header.is_final && header.reserved == 0)
        cr_expect(ft_slice_equal(ft_slice(out, size), hex), "%s", name);

    for (size_t n = 0; n < hex.len; n++) {
        struct ft_slice part = ft_input_exact(ft_slice(hex.ptr, n));
        cr_expect_eq(ft_ws_header_read(part, &header), 0, "%s: %zu bytes", name, n);
        ft_input_free(part);
    }
}

Test(ws_frame, headers_are_read_and_written_byte_by_byte)
{
    each_row("headers", check_header);
}

static void check_incomplete(const json_t *row, struct ft_slice hex)
{
    struct ft_ws_header header;
    cr_expect_eq(ft_ws_header_read(hex, &header), 0, "%s", ft_vectors_text(row, "name"));
}

Test(ws_frame, a_header_that_is_not_whole_waits_for_more)
{
    each_row("incomplete", check_incomplete);
}

static void check_refused(const json_t *row, struct ft_slice hex)
{
    struct ft_ws_header header;
    cr_expect_eq(ft_ws_header_read(hex, &header), -1, "%s", ft_vectors_text(row, "name"));
}

Test(ws_frame, what_cannot_begin_a_frame_is_refused)
{
    each_row("refused", check_refused);
}

static void check_masking(const json_t *row, struct ft_slice unused)
{
    (void)unused;
    struct ft_slice mask = ft_vectors_bytes(row, "mask");
    struct ft_slice input = ft_vectors_bytes(row, "input");
    struct ft_slice output = ft_vectors_bytes(row, "output");
    ft_ws_mask((uint8_t *)(uintptr_t)input.ptr, input.len, mask.ptr,
               ft_vectors_uint(row, "offset"));
    cr_expect(ft_slice_equal(input, output), "%s", ft_vectors_text(row, "name"));
    ft_input_free(mask);
    ft_input_free(input);
    ft_input_free(output);
}

Test(ws_frame, masking_agrees_with_the_vectors)
{
    each_row("masking", check_masking);
}

Test(ws_frame, masking_agrees_with_one_byte_at_a_time_wherever_it_begins)
{
    uint64_t state = 3;
    const uint8_t mask[4] = {0xA1, 0x02, 0xC3, 0x7F};
    for (size_t n = 0; n < 150; n++)
        for (size_t offset = 0; offset < 9; offset++) {
            uint8_t bytes[150], expected[150];
            for (size_t i = 0; i < n; i++) {
                bytes[i] = (uint8_t)ft_input_random(&state, 256);
                expected[i] = bytes[i] ^ mask[(offset + i) % 4];
            }
            struct ft_slice exact = ft_input_exact(ft_slice(bytes, n));
            ft_ws_mask((uint8_t *)(uintptr_t)exact.ptr, n, mask, offset);
            cr_assert(ft_slice_equal(exact, ft_slice(expected, n)), "%zu from %zu", n, offset);
            ft_input_free(exact);
        }
}

static void check_close_frame(const json_t *row, struct ft_slice hex)
{
    uint8_t out[2 + FT_WS_CONTROL_MAX];
    size_t size = ft_ws_close_frame((uint16_t)ft_vectors_uint(row, "code"),
                                    ft_vectors_text(row, "reason"), out);
    cr_expect(ft_slice_equal(ft_slice(out, size), hex), "%s", ft_vectors_text(row, "name"));
    uint16_t code;
    cr_expect_eq(ft_ws_close_read(ft_slice(out + 2, size - 2), &code), 0);
    cr_expect_eq(code, ft_vectors_uint(row, "code"));
}

Test(ws_frame, close_frames_carry_the_code_and_what_fits_of_the_reason)
{
    each_row("close_frames", check_close_frame);
    uint8_t out[2 + FT_WS_CONTROL_MAX];
    cr_assert_eq(ft_ws_close_frame(1000, NULL, out), 4);
}

static void check_close_payload(const json_t *row, struct ft_slice hex)
{
    uint16_t code = 0;
    uint16_t answer = ft_ws_close_read(hex, &code);
    if (json_object_get(row, "code")) {
        cr_expect_eq(answer, 0, "%s", ft_vectors_text(row, "name"));
        cr_expect_eq(code, ft_vectors_uint(row, "code"), "%s", ft_vectors_text(row, "name"));
    } else {
        cr_expect_eq(answer, ft_vectors_uint(row, "answer"), "%s", ft_vectors_text(row, "name"));
        cr_expect_eq(code, 0, "untouched on failure");
    }
}

Test(ws_frame, close_payloads_are_read_or_answered)
{
    each_row("close_payloads", check_close_payload);
}

Test(ws_frame, an_encoding_has_its_kind_of_message)
{
    cr_assert_eq(ft_ws_opcode_of(FT_JSON), FT_WS_TEXT);
    cr_assert_eq(ft_ws_opcode_of(FT_MSGPACK), FT_WS_BINARY);
}
