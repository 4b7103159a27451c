/* Positions: what is one, what is not, and up to which number; random texts against strtoull(). */
#include "protocol/position.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads a text from memory of exactly its size; returns whether it is a position. */
static bool read_exact(const char *text, size_t len, struct ft_position_parts *parts)
{
    struct ft_slice exact = ft_input_exact(ft_slice(text, len));
    struct ft_position_parts untouched = {ft_slice("?", 1), 42};
    *parts = untouched;
    struct ft_problem problem;
    enum ft_err err = ft_position_read(exact, parts, &problem);
    if (err == FT_OK) {
        cr_assert_eq(parts->stream.ptr, exact.ptr, "the stream is lent from the text");
        parts->stream.ptr = (const uint8_t *)text;
    } else {
        cr_assert_eq(err, FT_ERR_BAD_FIELD);
        cr_assert_eq(problem.err, FT_ERR_BAD_FIELD);
        cr_assert_not_null(strstr(problem.text, "must be <stream>.<offset>"), "%s", problem.text);
        cr_assert_eq(ft_position_read(exact, parts, NULL), FT_ERR_BAD_FIELD);
        cr_assert_eq(memcmp(parts, &untouched, sizeof(untouched)), 0, "untouched on failure");
    }
    ft_input_free(exact);
    return err == FT_OK;
}

static void assert_read(const char *text, const char *stream, uint64_t offset)
{
    struct ft_position_parts parts;
    cr_assert(read_exact(text, strlen(text), &parts), "%s", text);
    cr_assert(ft_slice_equal(parts.stream, ft_slice_str(stream)), "%s", text);
    cr_assert_eq(parts.offset, offset, "%s: %" PRIu64, text, parts.offset);
}

Test(position, is_a_stream_and_an_offset)
{
    assert_read("k3f9x2m0ab.17", "k3f9x2m0ab", 17);
    assert_read("s.0", "s", 0);
    assert_read("s.9", "s", 9);
    assert_read("s.18446744073709551615", "s", UINT64_MAX);
    assert_read("s.18446744073709551609", "s", UINT64_MAX - 6);
    assert_read("a.b..c.1", "a.b..c", 1);
    assert_read("\xc3\xa9.1", "\xc3\xa9", 1);
}

Test(position, anything_else_is_refused)
{
    static const char *const bad[] = {"",
                                      ".",
                                      "s",
                                      "17",
                                      "s.",
                                      ".17",
                                      "s.+1",
                                      "s.-1",
                                      "s. 1",
                                      "s.1 ",
                                      "s.1x",
                                      "s.0x1",
                                      "s.1e3",
                                      "s.00",
                                      "s.01",
                                      "s./",
                                      "s.:",
                                      "s.18446744073709551616",
                                      "s.18446744073709551620",
                                      "s.28446744073709551615",
                                      "s.99999999999999999999",
                                      "s.184467440737095516150"};
    struct ft_position_parts parts;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(read_exact(bad[i], strlen(bad[i]), &parts), "%s", bad[i]);
    cr_assert_not(read_exact("s.1\0", 4, &parts), "a NUL is no digit");
}

Test(position, a_stream_has_64_bytes_at_most)
{
    char text[FT_STREAM_BYTES_MAX + 8];
    struct ft_position_parts parts;
    memset(text, 's', sizeof(text));
    memcpy(text + FT_STREAM_BYTES_MAX, ".5", 2);
    cr_assert(read_exact(text, FT_STREAM_BYTES_MAX + 2, &parts));
    cr_assert_eq(parts.stream.len, FT_STREAM_BYTES_MAX);
    cr_assert_eq(parts.offset, 5);
    memcpy(text + FT_STREAM_BYTES_MAX, "s.5", 3);
    cr_assert_not(read_exact(text, FT_STREAM_BYTES_MAX + 3, &parts));
}

Test(position, numbers_are_what_the_c_library_says)
{
    uint64_t state = 20261121;
    for (int i = 0; i < 20000; i++) {
        char text[32] = "s.", *end;
        size_t digits = 1 + (size_t)ft_input_random(&state, 21);
        for (size_t k = 0; k < digits; k++)
            text[2 + k] = (char)('0' + ft_input_random(&state, i % 100 ? 10 : 11));
        errno = 0;
        unsigned long long expected = strtoull(text + 2, &end, 10);
        bool is_good = errno == 0 && *end == '\0' && (text[2] != '0' || digits == 1);
        struct ft_position_parts parts;
        cr_assert_eq(read_exact(text, 2 + digits, &parts), is_good, "%s", text);
        cr_assert(!is_good || parts.offset == expected, "%s", text);
    }
}
