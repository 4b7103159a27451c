/* The writer: the same calls, both encodings, read back by jansson and msgpack-c. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>

#include "protocol/writer.h"
#include "tests/unit/support/input.h"
#include "tests/unit/support/oracle.h"

typedef void write_fn(struct ft_writer *writer);

static void expect_json(write_fn *write, const char *wanted)
{
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    struct ft_writer writer;
    ft_writer_init(&writer, FT_JSON, &out);
    write(&writer);
    cr_expect(ft_slice_equal(ft_buffer_slice(&out), ft_slice_str(wanted)), "wrote %.*s",
              (int)out.len, out.ptr);
    cr_expect_eq(writer.depth_, 0, "everything is closed");
    ft_buffer_fini(&out);
}

static void expect_msgpack(write_fn *write, const char *hex)
{
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    struct ft_writer writer;
    ft_writer_init(&writer, FT_MSGPACK, &out);
    write(&writer);
    struct ft_slice wanted = ft_input_hex(hex);
    cr_expect(ft_slice_equal(ft_buffer_slice(&out), wanted), "%s", hex);
    cr_expect_eq(ft_oracle_msgpack(ft_buffer_slice(&out)), FT_OPINION_GOOD);
    cr_expect_eq(writer.depth_, 0, "everything is closed");
    ft_input_free(wanted);
    ft_buffer_fini(&out);
}

static void ok_of_a_sub(struct ft_writer *w)
{
    ft_write_map(w, 4);
    ft_write_key(w, "op");
    ft_write_str(w, ft_slice_str("ok"));
    ft_write_key(w, "id");
    ft_write_id(w, (struct ft_id){.kind = FT_ID_INT, .num = 300});
    ft_write_key(w, "pos");
    ft_write_array(w, 2);
    ft_write_str(w, ft_slice_str("a.1"));
    ft_write_str(w, ft_slice_str("b.2"));
    ft_write_key(w, "recovered");
    ft_write_bool(w, true);
}

Test(writer, a_reply_is_the_same_in_both_encodings)
{
    expect_json(ok_of_a_sub,
                "{\"op\":\"ok\",\"id\":300,\"pos\":[\"a.1\",\"b.2\"],\"recovered\":true}");
    expect_msgpack(ok_of_a_sub,
                   "84 a2 6f70 a2 6f6b a2 6964 cd012c a3 706f73 92 a3 612e31 a3 622e32 "
                   "a9 7265636f7665726564 c3");
}

static void empty_ones(struct ft_writer *w)
{
    ft_write_array(w, 4);
    ft_write_map(w, 0);
    ft_write_array(w, 0);
    ft_write_map(w, 2);
    ft_write_key(w, "a");
    ft_write_array(w, 0);
    ft_write_key(w, "b");
    ft_write_map(w, 0);
    ft_write_str(w, ft_slice_str(""));
}

Test(writer, empty_containers_close_themselves)
{
    expect_json(empty_ones, "[{},[],{\"a\":[],\"b\":{}},\"\"]");
    expect_msgpack(empty_ones, "94 80 90 82 a161 90 a162 80 a0");
}

static void one_empty(struct ft_writer *w)
{
    ft_write_map(w, 0);
}

Test(writer, an_empty_document_is_one)
{
    expect_json(one_empty, "{}");
    expect_msgpack(one_empty, "80");
}

static void eight_deep(struct ft_writer *w)
{
    for (int i = 0; i < FT_WRITER_DEPTH_MAX / 2; i++) {
        ft_write_array(w, 1);
        ft_write_map(w, 1);
        ft_write_key(w, "a");
    }
    ft_write_null(w);
}

Test(writer, all_levels_close_with_the_last_value)
{
    expect_json(eight_deep, "[{\"a\":[{\"a\":[{\"a\":[{\"a\":null}]}]}]}]");
    expect_msgpack(eight_deep, "91 81 a161 91 81 a161 91 81 a161 91 81 a161 c0");
}

static void nine_deep(struct ft_writer *w)
{
    for (int i = 0; i <= FT_WRITER_DEPTH_MAX; i++)
        ft_write_array(w, 1);
}

Test(writer, one_level_too_many_is_our_mistake, .signal = SIGABRT)
{
    expect_json(nine_deep, "");
}

static void numbers(struct ft_writer *w)
{
    ft_write_array(w, 9);
    ft_write_uint(w, UINT64_MAX);
    ft_write_int(w, INT64_MIN);
    ft_write_int(w, -1);
    ft_write_int(w, 5);
    ft_write_double(w, 0.5);
    ft_write_double(w, 2);
    ft_write_double(w, -1e300);
    ft_write_bool(w, false);
    ft_write_raw(w, w->encoding == FT_JSON ? ft_slice_str("[ 1]") : ft_slice("\x91\x01", 2));
}

Test(writer, numbers_keep_their_kind_and_their_bits)
{
    expect_json(numbers,
                "[18446744073709551615,-9223372036854775808,-1,5,0.5,2.0,-1e+300,false,[ 1]]");
    expect_msgpack(numbers, "99 cfffffffffffffffff d38000000000000000 ff 05 cb3fe0000000000000 "
                            "cb4000000000000000 cbfe37e43c8800759c c2 9101");
}

static void ids(struct ft_writer *w)
{
    ft_write_array(w, 3);
    ft_write_id(w, (struct ft_id){.kind = FT_ID_NONE});
    ft_write_id(w, (struct ft_id){.kind = FT_ID_STR, .str = ft_slice_str("é\"")});
    ft_write_id(w, (struct ft_id){.kind = FT_ID_INT, .num = FT_INT_MAX});
}

Test(writer, an_id_goes_back_as_it_came)
{
    expect_json(ids, "[null,\"é\\\"\",9007199254740991]");
    expect_msgpack(ids, "93 c0 a3 c3a922 cf001fffffffffffff");
}

Test(writer, quoting_is_what_jansson_reads_back)
{
    uint64_t state = 51;
    for (int i = 0; i < 5000; i++) {
        char text[64];
        size_t len = ft_input_random(&state, sizeof(text));
        for (size_t k = 0; k < len; k++)
            text[k] = (char)ft_input_random(&state, i % 2 ? 128 : 36);
        struct ft_buffer out;
        ft_buffer_init(&out, 4096);
        struct ft_slice exact = ft_input_exact(ft_slice(text, len));
        ft_json_add_quoted(&out, exact);
        ft_input_free(exact);
        json_t *back =
            json_loadb((const char *)out.ptr, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        cr_assert(back, "%.*s", (int)out.len, out.ptr);
        cr_assert_eq(json_string_length(back), len);
        cr_assert_eq(memcmp(json_string_value(back), text, len), 0);
        json_decref(back);
        ft_buffer_fini(&out);
    }
}

Test(writer, an_absent_slice_is_an_empty_string)
{
    struct ft_buffer out;
    ft_buffer_init(&out, 16);
    ft_json_add_quoted(&out, (struct ft_slice){0});
    cr_assert(ft_slice_equal(ft_buffer_slice(&out), ft_slice_str("\"\"")));
    ft_buffer_fini(&out);
}

Test(writer, a_full_buffer_says_so_and_nothing_else_happens)
{
    for (size_t max = 0; max < 60; max++) {
        struct ft_buffer out;
        ft_buffer_init(&out, max);
        for (int encoding = FT_JSON; encoding <= FT_MSGPACK; encoding++) {
            ft_buffer_clear(&out);
            struct ft_writer writer;
            ft_writer_init(&writer, (enum ft_encoding)encoding, &out);
            ok_of_a_sub(&writer);
            cr_assert_leq(out.len, max);
            cr_assert_eq(out.failed, max < (encoding == FT_JSON ? 57u : 37u), "%zu", max);
        }
        ft_buffer_fini(&out);
    }
}
