/* Quoting: whatever comes in, what goes out is short, valid UTF-8 without control characters. */
#include <criterion/criterion.h>

#include "protocol/quote.h"
#include "protocol/utf8.h"
#include "tests/unit/support/input.h"

static void assert_quoted(struct ft_slice bytes, const char *expected)
{
    char out[FT_QUOTE_MAX];
    cr_assert_eq(ft_quote(bytes, out), out);
    cr_assert_str_eq(out, expected);
}

Test(quote, plain_text_is_only_quoted)
{
    assert_quoted(ft_slice_str("a/b c"), "\"a/b c\"");
    assert_quoted(ft_slice_str("é€\xF0\x9F\xA6\x80"), "\"é€\xF0\x9F\xA6\x80\"");
    assert_quoted(ft_slice_str(""), "\"\"");
    assert_quoted(ft_slice(NULL, 0), "\"\"");
}

Test(quote, what_cannot_be_shown_is_written_as_hexadecimal)
{
    assert_quoted(ft_slice("a\0b", 3), "\"a\\x00b\"");
    assert_quoted(ft_slice_str("\n\x1F\x7F"), "\"\\x0A\\x1F\\x7F\"");
    assert_quoted(ft_slice_str("say \"x\\y\""), "\"say \\x22x\\x5Cy\\x22\"");
    assert_quoted(ft_slice_str("\xC2\x85"), "\"\\xC2\\x85\""); /* U+0085, a control character */
    assert_quoted(ft_slice_str("\xC2\x9F\xC2\xA0"),
                  "\"\\xC2\\x9F\xC2\xA0\""); /* the last one, and text */
    assert_quoted(ft_slice_str("a\xFF\xE2\x82"), "\"a\\xFF\\xE2\\x82\"");
}

Test(quote, what_just_fits_is_whole_and_one_more_is_cut)
{
    char text[128], expected[FT_QUOTE_MAX];
    memset(text, 'x', sizeof(text));
    memset(expected, 'x', sizeof(expected));
    const size_t fits = FT_QUOTE_MAX - 3; /* two quotes and the NUL */
    expected[0] = expected[fits + 1] = '"';
    expected[fits + 2] = '\0';
    assert_quoted(ft_slice(text, fits), expected);
    memcpy(expected + fits - 2, "…", 3);
    assert_quoted(ft_slice(text, fits + 1), expected);
}

Test(quote, random_bytes_come_out_fit_to_be_shown)
{
    uint64_t state = 5;
    for (unsigned round = 0; round < 50000; round++) {
        uint8_t bytes[120];
        size_t len = ft_input_random(&state, sizeof(bytes));
        bool is_texty = ft_input_random(&state, 2);
        static const char alphabet[] = "a\"\\\n\xC2\x85\xA9\xE2\x82\xAC\xF0\x9F\xA6\x80";
        for (size_t i = 0; i < len; i++)
            bytes[i] = is_texty ? (uint8_t)alphabet[ft_input_random(&state, sizeof(alphabet) - 1)]
                                : (uint8_t)ft_input_random(&state, 256);
        char out[FT_QUOTE_MAX];
        memset(out, 'Z', sizeof(out));
        struct ft_slice exact = ft_input_exact(ft_slice(bytes, len));
        ft_quote(exact, out);
        ft_input_free(exact);
        size_t n = strnlen(out, sizeof(out));
        cr_assert(n >= 2 && n < FT_QUOTE_MAX);
        cr_assert(out[0] == '"' && out[n - 1] == '"');
        cr_assert(ft_utf8_is_valid(ft_slice(out, n)));
        for (size_t i = 1; i + 1 < n; i++)
            cr_assert((uint8_t)out[i] >= 0x20 && out[i] != 0x7F && out[i] != '"');
    }
}
