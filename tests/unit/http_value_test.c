/* Lists, names, percent-encoding, queries and cookies: what is cut off, and what is refused. */
#include "protocol/http_value.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static void assert_text(struct ft_slice text, const char *expected)
{
    cr_assert(ft_slice_equal(text, ft_slice_str(expected)), "\"%.*s\" is not \"%s\"", (int)text.len,
              (const char *)text.ptr, expected);
}

Test(http_value, is_trimmed_of_spaces_and_tabs_alone)
{
    assert_text(ft_http_trim(ft_slice_str(" \t a \t b \t ")), "a \t b");
    assert_text(ft_http_trim(ft_slice_str("\v\n")), "\v\n");
    assert_text(ft_http_trim(ft_slice_str(" \t ")), "");
    assert_text(ft_http_trim(ft_slice(NULL, 0)), "");
}

/* Walks a text and joins what it is made of: "[name=value]" or "[element]". */
static struct ft_buffer walk(bool (*next)(struct ft_slice *, struct ft_slice *, struct ft_slice *),
                             const char *text)
{
    struct ft_slice exact = ft_input_exact(ft_slice_str(text));
    struct ft_slice rest = exact, name, value = {0};
    struct ft_buffer out;
    ft_buffer_init(&out, 1000);
    while (next(&rest, &name, &value)) {
        cr_assert(name.ptr >= exact.ptr && name.ptr + name.len <= exact.ptr + exact.len);
        ft_buffer_add_byte(&out, '[');
        ft_buffer_add(&out, name.ptr, name.len);
        if (value.ptr)
            ft_buffer_add_byte(&out, '=');
        ft_buffer_add(&out, value.ptr, value.len);
        ft_buffer_add_byte(&out, ']');
    }
    cr_assert_eq(rest.len, 0);
    ft_input_free(exact);
    return out;
}

static bool next_element(struct ft_slice *rest, struct ft_slice *element, struct ft_slice *value)
{
    (void)value;
    return ft_http_list_next(rest, element);
}

static void assert_walk(bool (*next)(struct ft_slice *, struct ft_slice *, struct ft_slice *),
                        const char *text, const char *expected)
{
    struct ft_buffer out = walk(next, text);
    cr_assert(ft_slice_equal(ft_buffer_slice(&out), ft_slice_str(expected)), "%s: %.*s", text,
              (int)out.len, (const char *)out.ptr);
    ft_buffer_fini(&out);
}

Test(http_value, a_list_has_commas_and_no_empty_elements)
{
    assert_walk(next_element, "", "");
    assert_walk(next_element, " , ,\t,", "");
    assert_walk(next_element, "a", "[a]");
    assert_walk(next_element, "a,b , c d\t,", "[a][b][c d]");
    assert_walk(next_element, "a;b=\"c,d\",e", "[a;b=\"c][d\"][e]");
    assert_walk(next_element, "\"a, close", "[\"a][close]");
}

Test(http_value, a_query_has_pairs_that_are_still_encoded)
{
    assert_walk(ft_query_next, "", "");
    assert_walk(ft_query_next, "&&", "");
    assert_walk(ft_query_next, "a=b&c=d", "[a=b][c=d]");
    assert_walk(ft_query_next, "topic=a%26b&&since", "[topic=a%26b][since=]");
    assert_walk(ft_query_next, "a==b&=c&d=&;e=f", "[a==b][=c][d=][;e=f]");
}

Test(http_value, cookies_have_semicolons_and_perhaps_quotes)
{
    assert_walk(ft_cookie_next, "", "");
    assert_walk(ft_cookie_next, "a=b; c=d", "[a=b][c=d]");
    assert_walk(ft_cookie_next, "a=\"b\";c=\"d", "[a=b][c=\"d]");
    assert_walk(ft_cookie_next, "a=\"\"; b=\"", "[a=][b=\"]");
    assert_walk(ft_cookie_next, "none; ; a=b=c; =d;", "[a=b=c][=d]");
    assert_walk(ft_cookie_next, "\ta = b \t;c=d,e", "[a=b][c=d,e]");
}

Test(http_value, names_are_compared_like_strcasecmp)
{
    static const char *const words[] = {"",  "a", "A", "ab", "aB", "AB", "abc",
                                        "@", "`", "[", "{",  "zZ", "Zz"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
            struct ft_slice exact = ft_input_exact(ft_slice_str(words[i]));
            cr_assert_eq(ft_http_is(exact, words[k]), strcasecmp(words[i], words[k]) == 0,
                         "%s and %s", words[i], words[k]);
            ft_input_free(exact);
        }
    cr_assert(!ft_http_is(ft_slice("a\0", 2), "a"), "a NUL ends nothing");
}

static void assert_decoded(const char *text, bool is_query, const char *expected)
{
    struct ft_slice exact = ft_input_exact(ft_slice_str(text));
    uint8_t *in_place = (uint8_t *)(uintptr_t)exact.ptr;
    size_t len = 77;
    cr_assert_eq(ft_percent_decode(exact, is_query, in_place, &len), expected != NULL, "%s", text);
    if (expected)
        assert_text(ft_slice(in_place, len), expected);
    else
        cr_assert_eq(len, 77, "untouched on failure");
    ft_input_free(exact);
}

Test(http_value, percent_signs_have_two_digits)
{
    assert_decoded("", false, "");
    assert_decoded("a%2Fb%2f%C3%a9", false, "a/b/\xC3\xA9");
    assert_decoded("a+b%2B", false, "a+b+");
    assert_decoded("a+b%2B%20", true, "a b+ ");
    assert_decoded("%2525", false, "%25");
    static const char *const bad[] = {"%",    "%2",   "a%",  "%g0",  "%0g",
                                      "%%20", "% 20", "%-1", "%0x20"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_decoded(bad[i], i % 2, NULL);
}

Test(http_value, every_byte_is_decoded_as_strtol_has_it)
{
    for (unsigned byte = 0; byte < 256; byte++)
        for (unsigned other = 0; other < 256; other++) {
            uint8_t text[3] = {'%', (uint8_t)byte, (uint8_t)other}, out[3];
            char digits[3] = {(char)byte, (char)other, '\0'};
            size_t len;
            bool is_good = isxdigit((int)byte) && isxdigit((int)other);
            cr_assert_eq(ft_percent_decode(ft_slice(text, 3), false, out, &len), is_good);
            cr_assert(!is_good || (len == 1 && out[0] == strtol(digits, NULL, 16)));
        }
}
