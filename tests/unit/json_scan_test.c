/* The JSON scanner against JSONTestSuite, jansson, strtod, and its own slow twin. */
#include <criterion/criterion.h>
#include <glob.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/envelope.h"
#include "protocol/json_scan.h"
#include "protocol/plain_run.h"
#include "protocol/utf8.h"
#include "tests/unit/support/input.h"

static bool is_accepted(struct ft_slice bytes)
{
    struct ft_problem problem = {0};
    struct ft_slice exact = ft_input_exact(bytes);
    bool is_good = ft_data_check(FT_JSON, exact, &problem) == FT_OK;
    ft_input_free(exact);
    cr_assert(is_good || problem.text[0], "a refusal says why");
    return is_good;
}

static bool accepts(const char *text)
{
    return is_accepted(ft_slice_str(text));
}

static struct ft_slice trim(struct ft_slice text)
{
    while (text.len && strchr(" \t\r\n", text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len && strchr(" \t\r\n", text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* Reads `value` as the data of a publication: true when it is accepted, and then it is unchanged. */
static bool is_accepted_in_envelope(struct ft_slice value)
{
    static const char before[] = "{\"op\":\"pub\",\"topic\":\"t\",\"data\":";
    static const char after[] = ",\"id\":7}";
    struct ft_buffer message;
    ft_buffer_init(&message, 1 << 20);
    ft_buffer_add_str(&message, before);
    ft_buffer_add(&message, value.ptr, value.len);
    ft_buffer_add_str(&message, after);
    struct ft_slice exact = ft_input_exact(ft_buffer_slice(&message));
    ft_buffer_fini(&message);

    uint8_t *scratch = malloc(exact.len);
    struct ft_reader reader;
    struct ft_envelope env;
    bool is_good = ft_utf8_is_valid(exact) &&
                   ft_reader_begin(&reader, FT_JSON, exact, scratch, NULL) == FT_OK &&
                   ft_reader_next(&reader, &env, NULL) == FT_OK;
    if (is_good) {
        cr_assert_eq(env.id.num, 7);
        cr_assert_eq(env.data.kind, FT_DATA_JSON);
        cr_assert(ft_slice_equal(env.data.bytes, trim(value)), "data is the very bytes");
    }
    free(scratch);
    ft_input_free(exact);
    return is_good;
}

/* The undecided cases of the suite that our rules accept: numbers that are finite as float64. */
static bool is_ours(const char *name)
{
    static const char *const accepted[] = {
        "i_number_double_huge_neg_exp.json", "i_number_real_underflow.json",
        "i_number_too_big_neg_int.json", "i_number_too_big_pos_int.json",
        "i_number_very_big_negative_int.json"};
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++)
        if (strcmp(name, accepted[i]) == 0)
            return true;
    return false;
}

Test(json_scan, the_whole_suite_is_accepted_or_refused_as_it_wants)
{
    glob_t files;
    cr_assert_eq(glob("tests/data/json/*.json", 0, NULL, &files), 0);
    cr_assert_eq(files.gl_pathc, 318, "the suite has 318 files");
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *name = strrchr(files.gl_pathv[i], '/') + 1;
        struct ft_slice bytes = ft_input_file(files.gl_pathv[i]);
        bool wanted = name[0] == 'y' || (name[0] == 'i' && is_ours(name));
        cr_expect_eq(is_accepted(bytes), wanted, "%s alone", name);
        cr_expect_eq(is_accepted_in_envelope(bytes), wanted, "%s as data", name);
        ft_input_free(bytes);
    }
    globfree(&files);
}

Test(json_scan, plain_runs_end_where_the_slow_way_says)
{
    uint64_t state = 11;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[80];
        size_t len = ft_input_random(&state, sizeof(bytes) + 1);
        for (size_t k = 0; k < len; k++)
            bytes[k] = ft_input_random(&state, 20) ? (uint8_t)(0x20 + ft_input_random(&state, 0xE0))
                                                   : (uint8_t)ft_input_random(&state, 256);
        struct ft_slice exact = ft_input_exact(ft_slice(bytes, len));
        const uint8_t *end = exact.ptr + len;
        const uint8_t *slow = exact.ptr;
        while (slow < end && *slow >= 0x20 && *slow != '"' && *slow != '\\')
            slow++;
        cr_assert_eq(ft_plain_run_swar(exact.ptr, end), slow);
        cr_assert_eq(ft_plain_run(exact.ptr, end), slow);
        ft_input_free(exact);
    }
}

static void nest(char *out, size_t depth, const char *open, const char *inside, const char *close)
{
    out[0] = '\0';
    for (size_t i = 0; i < depth; i++)
        strcat(out, open);
    strcat(out, inside);
    for (size_t i = 0; i < depth; i++)
        strcat(out, close);
}

Test(json_scan, nesting_ends_at_32)
{
    char text[1024];
    nest(text, 32, "[", "", "]");
    cr_assert(accepts(text));
    nest(text, 33, "[", "", "]");
    cr_assert_not(accepts(text));
    nest(text, 32, "{\"a\":", "1", "}");
    cr_assert(accepts(text));
    nest(text, 33, "{\"a\":", "1", "}");
    cr_assert_not(accepts(text));
}

Test(json_scan, what_nests_too_deep_is_stepped_over)
{
    char text[4096];
    nest(text, 200, "[{\"]\":", "\"}\\\"\"", "}]");
    strcat(text, ",");
    struct ft_scan scan = ft_scan_of(ft_slice_str(text));
    struct ft_value value;
    const uint8_t *from = scan.at;
    cr_assert_not(ft_json_value(&scan, &value));
    cr_assert(scan.is_rule);
    scan.at = from;
    cr_assert(ft_json_step_over(&scan));
    cr_assert_eq(*scan.at, ',');
    cr_assert_eq(scan.end - scan.at, 1);
}

Test(json_scan, numbers_overflow_exactly_where_float64_does)
{
    cr_assert(accepts("1.7976931348623157e308"));
    cr_assert(accepts("1.7976931348623158e308"), "rounds down to the greatest float64");
    cr_assert_not(accepts("1.7976931348623159e308"));
    cr_assert_not(accepts("-1.8e308"));
    cr_assert_not(accepts("1e309"));
    cr_assert_not(accepts("1e99999999999999999999999"));
    cr_assert(accepts("1e-99999999999999999999999"));
    cr_assert(accepts("0e99999999999999999999999"));
    cr_assert(accepts("-0.000e400"));

    char text[1200] = "0.";
    memset(text + 2, '0', 600);
    strcpy(text + 602, "1e900");
    cr_assert(accepts(text), "600 zeros after the point make 1e900 small");
    strcpy(text + 602, "1e911");
    cr_assert_not(accepts(text));
}

Test(json_scan, numbers_overflow_where_strtod_says)
{
    uint64_t state = 12;
    for (int i = 0; i < 20000; i++) {
        char text[512];
        size_t len = 0;
        size_t digits = 1 + ft_input_random(&state, i % 2 ? 20 : 320);
        size_t point = ft_input_random(&state, digits + 1);
        text[len++] = (char)('1' + ft_input_random(&state, 9));
        /* Half of them begin as the boundary does, so that they fall on either side of it. */
        static const char edge[] = "17976931348623158079372897140530341507993413271003782";
        for (size_t k = 1; k < digits; k++) {
            if (k == point)
                text[len++] = '.';
            text[len++] = (char)('0' + ft_input_random(&state, 10));
        }
        if (ft_input_random(&state, 2) && point > digits / 2 && point > sizeof(edge))
            memcpy(text, edge, ft_input_random(&state, sizeof(edge)));
        int exponent = 309 - (int)(point && point < digits ? point : digits) +
                       (int)ft_input_random(&state, 3) - 1;
        snprintf(text + len, sizeof(text) - len, "%c%d", "eE"[i % 2], exponent);
        cr_assert_eq(accepts(text), isfinite(strtod(text, NULL)), "%s", text);
    }
}

Test(json_scan, strings_decode_to_what_jansson_decodes)
{
    uint64_t state = 13;
    struct ft_buffer document;
    ft_buffer_init(&document, 1 << 16);
    int strings = 0;
    while (strings < 5000) {
        ft_buffer_clear(&document);
        ft_input_json(&state, 0, &document);
        struct ft_scan scan = ft_scan_of(trim(ft_buffer_slice(&document)));
        if (*scan.at != '"')
            continue;
        strings++;
        struct ft_slice text;
        bool has_escapes;
        cr_assert(ft_json_string(&scan, &text, &has_escapes));
        uint8_t decoded[512];
        size_t len = 0;
        cr_assert(ft_json_decode(text, decoded, sizeof(decoded), &len));
        cr_assert(len == text.len || has_escapes);
        json_t *theirs = json_loadb((char *)document.ptr, document.len, JSON_DECODE_ANY, NULL);
        cr_assert_eq(json_string_length(theirs), len);
        cr_assert_eq(memcmp(json_string_value(theirs), decoded, len), 0);
        cr_assert(len == 0 || !ft_json_decode(text, decoded, len - 1, &len));
        json_decref(theirs);
    }
    ft_buffer_fini(&document);
}

static bool jansson_accepts(struct ft_slice bytes)
{
    json_t *root = json_loadb((const char *)bytes.ptr, bytes.len,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    bool is_good = root != NULL;
    json_decref(root);
    return is_good;
}

Test(json_scan, random_documents_fare_as_with_jansson, .timeout = 120)
{
    uint64_t state = 14;
    struct ft_buffer document;
    ft_buffer_init(&document, 1 << 16);
    int good = 0;
    int bad = 0;
    for (int i = 0; i < 30000; i++) {
        ft_buffer_clear(&document);
        ft_input_json(&state, 4, &document);
        bool is_whole = i % 3 == 0;
        if (!is_whole)
            ft_input_damage(&state, &document);
        struct ft_slice bytes = ft_buffer_slice(&document);
        /* jansson has no keys with U+0000; SPEC.md has. */
        if (memmem(bytes.ptr, bytes.len, "\\u0000", 6))
            continue;
        bool ours = is_accepted(bytes);
        /* jansson takes a NUL after the end for the end. It is good nowhere in JSON. */
        if (memchr(bytes.ptr, 0, bytes.len)) {
            cr_assert_not(ours);
            continue;
        }
        cr_assert_eq(ours, jansson_accepts(bytes), "we say %d: %.*s", ours, (int)bytes.len,
                     bytes.ptr);
        cr_assert(ours || !is_whole);
        good += ours;
        bad += !ours;
    }
    cr_assert_gt(good, 10000);
    cr_assert_gt(bad, 10000, "damage does damage");
    ft_buffer_fini(&document);
}

Test(json_scan, a_key_without_a_value_is_refused)
{
    static const char *const refused[] = {"{\"a\":}",  "{\"a\": }",        "[{\"a\":}]", "{\"a\"}",
                                          "{\"a\":,}", "{\"a\":1,\"b\":}", "[1,]",       "[,]"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        cr_expect_not(accepts(refused[i]), "%s", refused[i]);
}

Test(json_scan, a_document_that_is_cut_off_is_refused_everywhere)
{
    static const char text[] =
        "{\"a\":[1.5e3,\"x\\u00e9\\ud83d\\ude00y\",{\"b\":null}],\"c\":true}";
    for (size_t len = 0; len < sizeof(text) - 1; len++)
        cr_assert_not(is_accepted(ft_slice(text, len)), "%zu bytes", len);
    cr_assert(accepts(text));
}
