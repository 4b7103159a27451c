/* UTF-8 against vectors, a foreign suite, and a decoder that goes by code points. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/utf8.h"
#include "tests/unit/support/input.h"
#include "tests/unit/support/vectors.h"

/* The slow twin: decodes one character and checks its value, not its bytes. Returns its size, 0 when
 * it is none. */
static size_t twin_char(const uint8_t *at, size_t left)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (left == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    size_t n = at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    uint32_t point = at[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (at[i] >> 6 != 2)
            return 0;
        point = point << 6 | (at[i] & 63);
    }
    bool is_surrogate = point >= 0xD800 && point <= 0xDFFF;
    return point < least[n] || point > 0x10FFFF || is_surrogate ? 0 : n;
}

static bool twin_is_valid(struct ft_slice text)
{
    for (size_t at = 0; at < text.len;) {
        size_t n = twin_char(text.ptr + at, text.len - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

static void check_section(const char *section, bool is_valid)
{
    json_t *vectors = ft_vectors_load("protocol/vectors/utf8.json");
    size_t i;
    json_t *row;
    json_array_foreach(ft_vectors_rows(vectors, section), i, row)
    {
        struct ft_slice bytes = ft_input_hex(ft_vectors_text(row, "hex"));
        cr_expect_eq(ft_utf8_is_valid(bytes), is_valid, "%s", ft_vectors_text(row, "name"));
        cr_expect_eq(twin_is_valid(bytes), is_valid, "%s", ft_vectors_text(row, "name"));
        ft_input_free(bytes);
    }
    json_decref(vectors);
}

Test(utf8, valid_vectors_are_valid)
{
    check_section("valid", true);
}

Test(utf8, invalid_vectors_are_not)
{
    check_section("invalid", false);
}

/* A line is "number:valid:text", "number:valid hex:bytes" or "number:invalid hex:bytes:…". */
static bool check_suite_line(char *line)
{
    char *kind = strchr(line, ':');
    if (line[0] == '#' || !kind)
        return false;
    *kind++ = '\0';
    kind += strspn(kind, " ");
    char *input = strchr(kind, ':');
    *input++ = '\0';
    bool is_valid = strncmp(kind, "valid", 5) == 0;
    struct ft_slice bytes;
    if (strstr(kind, "hex")) {
        input[strcspn(input, ":")] = '\0';
        bytes = ft_input_hex(input);
    } else {
        bytes = ft_input_exact(ft_slice_str(input));
    }
    cr_expect_eq(ft_utf8_is_valid(bytes), is_valid, "%s", line);
    ft_input_free(bytes);
    return true;
}

Test(utf8, every_case_of_utf8tests_has_its_verdict)
{
    FILE *file = fopen("tests/data/utf8tests.txt", "r");
    cr_assert_not_null(file);
    unsigned cases = 0;
    char line[4096];
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\r\n")] = '\0';
        cases += check_suite_line(line);
    }
    fclose(file);
    cr_assert_eq(cases, 222);
}

/* Every sequence of three bytes and, of four, all that differ where the table does. */
Test(utf8, all_short_sequences_agree_with_the_twin, .timeout = 60)
{
    static const uint8_t edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90,
                                    0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xFF};
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            for (size_t c = 0; c < sizeof(edges); c++)
                for (size_t d = 0; d < sizeof(edges); d++) {
                    const uint8_t bytes[4] = {(uint8_t)a, (uint8_t)b, edges[c], edges[d]};
                    for (size_t n = 1; n <= 4; n++) {
                        struct ft_slice text = ft_slice(bytes, n);
                        cr_assert_eq(ft_utf8_is_valid(text), twin_is_valid(text),
                                     "%02x %02x %02x %02x, %zu bytes", a, b, edges[c], edges[d], n);
                        cr_assert_eq(ft_utf8_char_size(text), twin_char(bytes, n));
                    }
                }
}

Test(utf8, a_bad_byte_is_seen_at_every_place_of_a_long_text)
{
    for (size_t len = 1; len <= 100; len++)
        for (size_t at = 0; at < len; at++) {
            uint8_t bytes[100];
            memset(bytes, 'x', len);
            struct ft_slice text = ft_input_exact(ft_slice(bytes, len));
            cr_assert(ft_utf8_is_valid(text));
            ((uint8_t *)(uintptr_t)text.ptr)[at] = 0x80;
            cr_assert_not(ft_utf8_is_valid(text), "byte %zu of %zu", at, len);
            ft_input_free(text);
        }
}

Test(utf8, random_text_agrees_with_the_twin)
{
    static const char *const pieces[] = {"plain ascii text ",
                                         "é",
                                         "€",
                                         "\xF0\x9F\xA6\x80",
                                         "\x80",
                                         "\xED\xA0\x80",
                                         "\xE2\x82",
                                         "0123456789abcdef0123456789abcdef"};
    uint64_t state = 77;
    for (unsigned i = 0; i < 50000; i++) {
        char text[400];
        size_t len = 0;
        unsigned count = (unsigned)ft_input_random(&state, 9);
        for (unsigned k = 0; k < count; k++) {
            bool may_be_bad = ft_input_random(&state, 6) == 0;
            const char *piece = pieces[ft_input_random(&state, may_be_bad ? 8 : 4)];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        struct ft_slice exact = ft_input_exact(ft_slice(text, len));
        cr_assert_eq(ft_utf8_is_valid(exact), twin_is_valid(exact), "round %u", i);
        ft_input_free(exact);
    }
}

Test(utf8, the_size_of_no_character_is_zero)
{
    cr_assert_eq(ft_utf8_char_size(ft_slice("", 0)), 0);
    cr_assert_eq(ft_utf8_char_size(ft_slice(NULL, 0)), 0);
    cr_assert_eq(ft_utf8_char_size(ft_slice_str("\xA9")), 0);
    cr_assert_eq(ft_utf8_char_size(ft_slice_str("é is first")), 2);
}

Test(utf8, a_cut_never_ends_inside_a_character)
{
    struct ft_slice text = ft_slice_str("aé€\xF0\x9F\xA6\x80z");
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    for (size_t max = 0; max < 13; max++)
        cr_assert_eq(ft_utf8_cut(text, max), expected[max], "max %zu", max);
}
