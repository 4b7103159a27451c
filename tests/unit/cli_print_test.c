/* How deliveries look on standard output. */
#include <criterion/criterion.h>

#include "clients/cli/print.h"

static struct fantail_bytes bytes(const char *text, size_t len)
{
    return (struct fantail_bytes){.ptr = text, .len = len};
}

static void expect_n(enum ft_print_form form, enum fantail_kind kind, const char *data,
                     size_t data_len, const char *printed, size_t printed_len)
{
    struct fantail_message message = {
        .topic = bytes("a/b", 3),
        .kind = kind,
        .data = bytes(data, data_len),
        .pos = bytes("s.7", 3),
        .at_ms = 42,
    };
    struct ft_buffer out;
    ft_buffer_init(&out, 4096);
    ft_print_message(&message, form, &out);
    cr_expect(ft_slice_equal(ft_buffer_slice(&out), ft_slice(printed, printed_len)),
              "%s printed as %.*s instead of %s", data, (int)out.len, (const char *)out.ptr,
              printed);
    ft_buffer_fini(&out);
}

static void expect(enum ft_print_form form, enum fantail_kind kind, const char *data,
                   const char *printed)
{
    expect_n(form, kind, data, strlen(data), printed, strlen(printed));
}

Test(cli_print, strings_are_bare_and_other_values_are_json)
{
    expect(FT_PRINT_DATA, FANTAIL_JSON, "\"hello\"", "hello\n");
    expect(FT_PRINT_DATA, FANTAIL_JSON, "\"\"", "\n");
    expect(FT_PRINT_DATA, FANTAIL_JSON, "\"caf\\u00e9 \\\"x\\\"\"", "caf\xc3\xa9 \"x\"\n");
    expect(FT_PRINT_DATA, FANTAIL_JSON, "{\"a\": 1.50}", "{\"a\": 1.50}\n");
    expect(FT_PRINT_DATA, FANTAIL_JSON, "null", "null\n");
}

Test(cli_print, each_delivery_is_one_line)
{
    expect(FT_PRINT_DATA, FANTAIL_JSON, "\"a\\nb\"", "\"a\\nb\"\n");
    expect(FT_PRINT_DATA, FANTAIL_JSON, "\"a\\u0000b\"", "\"a\\u0000b\"\n");
    expect(FT_PRINT_DATA, FANTAIL_JSON, "\"a\x7f\"", "\"a\x7f\"\n");
    expect(FT_PRINT_DATA, FANTAIL_JSON, "[1,\r\n 2]", "[1,   2]\n");
    expect(FT_PRINT_JSON, FANTAIL_JSON, "[1,\n2]",
           "{\"op\":\"msg\",\"topic\":\"a/b\",\"data\":[1, 2],\"pos\":\"s.7\",\"at\":42}\n");
}

Test(cli_print, bytes_are_base64_or_raw)
{
    expect(FT_PRINT_DATA, FANTAIL_BYTES, "\x01\xff", "Af8=\n");
    expect(FT_PRINT_RAW, FANTAIL_BYTES, "\x01\xff", "\x01\xff");
    expect(FT_PRINT_JSON, FANTAIL_BYTES, "\x01\xff",
           "{\"op\":\"msg\",\"topic\":\"a/b\",\"b64\":\"Af8=\",\"pos\":\"s.7\",\"at\":42}\n");
}

Test(cli_print, raw_writes_a_strings_own_bytes_and_nothing_behind)
{
    expect(FT_PRINT_RAW, FANTAIL_JSON, "\"a\\nb\"", "a\nb");
    expect_n(FT_PRINT_RAW, FANTAIL_JSON, "\"a\\u0000\"", 9, "a\0", 2);
    expect(FT_PRINT_RAW, FANTAIL_JSON, "[1]", "[1]");
}

Test(cli_print, the_topic_stands_before_the_data)
{
    expect(FT_PRINT_VERBOSE, FANTAIL_JSON, "\"x y\"", "a/b x y\n");
}

Test(cli_print, messagepack_looks_as_json_does)
{
    expect_n(FT_PRINT_DATA, FANTAIL_MSGPACK, "\xa2hi", 3, "hi\n", 3);
    expect_n(FT_PRINT_DATA, FANTAIL_MSGPACK, "\x81\xa1k\x05", 4, "{\"k\":5}\n", 8);
    expect_n(FT_PRINT_DATA, FANTAIL_MSGPACK, "\xc4\x02\x01\xff", 4, "Af8=\n", 5);
    expect_n(FT_PRINT_RAW, FANTAIL_MSGPACK, "\xc4\x02\x01\xff", 4, "\x01\xff", 2);
}

Test(cli_print, a_last_value_is_told_from_news)
{
    struct fantail_message message = {
        .topic = bytes("a/b", 3),
        .kind = FANTAIL_JSON,
        .data = bytes("5", 1),
        .pos = bytes("s.7", 3),
        .at_ms = 42,
        .retained = true,
    };
    static const char *const lines[] = {
        [FT_PRINT_DATA] = "5\n",
        [FT_PRINT_VERBOSE] = "[retained] a/b 5\n",
        [FT_PRINT_JSON] = "{\"op\":\"msg\",\"topic\":\"a/b\",\"data\":5,\"pos\":\"s.7\",\"at\":42,"
                          "\"retained\":true}\n",
        [FT_PRINT_RAW] = "5",
    };
    for (int form = FT_PRINT_DATA; form <= FT_PRINT_RAW; form++) {
        struct ft_buffer out;
        ft_buffer_init(&out, 4096);
        ft_print_message(&message, (enum ft_print_form)form, &out);
        cr_expect(ft_slice_equal(ft_buffer_slice(&out), ft_slice_str(lines[form])), "%.*s",
                  (int)out.len, (const char *)out.ptr);
        ft_buffer_fini(&out);
    }
}
