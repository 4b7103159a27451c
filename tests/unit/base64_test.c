/* Base64: RFC 4648's examples, the way back for everything, and no second spelling of anything. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "protocol/base64.h"
#include "tests/unit/support/input.h"

Test(base64, the_examples_of_rfc_4648_hold)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < 7; i++) {
        char text[16];
        size_t n = ft_base64_encode(ft_slice_str(pairs[i][0]), text);
        cr_assert(ft_slice_equal(ft_slice(text, n), ft_slice_str(pairs[i][1])));
        cr_assert_eq(n, FT_BASE64_LEN(strlen(pairs[i][0])));
        uint8_t bytes[16];
        size_t len;
        cr_assert(ft_base64_decode(ft_slice_str(pairs[i][1]), bytes, &len));
        cr_assert(ft_slice_equal(ft_slice(bytes, len), ft_slice_str(pairs[i][0])));
    }
}

Test(base64, the_last_two_letters_are_plus_and_slash)
{
    char text[4];
    ft_base64_encode(ft_slice("\xFB\xEF\xBE", 3), text);
    cr_assert_eq(memcmp(text, "++++", 4), 0);
    ft_base64_encode(ft_slice("\xFF\xFF\xFF", 3), text);
    cr_assert_eq(memcmp(text, "////", 4), 0);
}

Test(base64, what_is_not_canonical_is_refused)
{
    static const char *const bad[] = {
        "Z",        "Zg",       "Zg=",      "Zg===", "=",    "====", "Z===",       "=Zg=",
        "Zg==Zg==", "Zm8=Zm8=", "Zh==",     "Zm9=",  "Zm 8", "Zm8 ", "Zm8=\n",     "Zm9v\n",
        "Zm-v",     "Zm_v",     "Zm9v====", "Z=9v",  "Zm=v", "Zg=a", "\xC3\xA9Zm", "Zm9v Zm9v"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t len = 99;
        uint8_t bytes[16];
        struct ft_slice text = ft_input_exact(ft_slice_str(bad[i]));
        cr_assert_not(ft_base64_decode(text, bytes, &len), "%s", bad[i]);
        cr_assert_not(ft_base64_decode(text, NULL, &len), "%s", bad[i]);
        cr_assert_eq(len, 99, "%s", bad[i]);
        ft_input_free(text);
    }
    size_t len;
    cr_assert_not(ft_base64_decode(ft_slice("Zm\0v", 4), NULL, &len));
}

Test(base64, every_run_of_bytes_comes_back)
{
    uint64_t state = 9;
    for (size_t n = 0; n < 300; n++) {
        uint8_t bytes[300];
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)ft_input_random(&state, 256);
        char *text = malloc(FT_BASE64_LEN(n) + 1);
        size_t len = ft_base64_encode(ft_slice(bytes, n), text);
        uint8_t *back = malloc(len / 4 * 3 + 1);
        size_t back_len = 0, checked_len = 0;
        cr_assert(ft_base64_decode(ft_slice(text, len), back, &back_len));
        cr_assert(ft_base64_decode(ft_slice(text, len), NULL, &checked_len));
        cr_assert_eq(checked_len, back_len);
        cr_assert(ft_slice_equal(ft_slice(back, back_len), ft_slice(bytes, n)));
        free(text);
        free(back);
    }
}

/* All texts of four characters out of a telling few: what is accepted encodes to itself. */
Test(base64, what_is_accepted_is_what_encoding_gives)
{
    static const char letters[] = "AQgwBZaz09+/=-_ ";
    const size_t n = sizeof(letters) - 1;
    unsigned accepted = 0;
    for (size_t i = 0; i < n * n * n * n; i++) {
        const char text[4] = {letters[i % n], letters[i / n % n], letters[i / n / n % n],
                              letters[i / n / n / n]};
        uint8_t bytes[3];
        size_t len;
        if (!ft_base64_decode(ft_slice(text, 4), bytes, &len))
            continue;
        char again[4];
        cr_assert_eq(ft_base64_encode(ft_slice(bytes, len), again), 4);
        cr_assert_eq(memcmp(text, again, 4), 0, "%.4s", text);
        accepted++;
    }
    cr_assert_gt(accepted, 12 * 12 * 12 * 12);
}
