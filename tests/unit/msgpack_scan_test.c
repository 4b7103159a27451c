/* The MessagePack scanner against msgpack-test-suite, utf8 rules, msgpack-c, and damage. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>

#include "protocol/envelope.h"
#include "protocol/msgpack_scan.h"
#include "tests/unit/support/input.h"
#include "tests/unit/support/oracle.h"

static bool is_accepted(struct ft_slice bytes)
{
    struct ft_problem problem = {0};
    struct ft_slice exact = ft_input_exact(bytes);
    bool is_good = ft_data_check(FT_MSGPACK, exact, &problem) == FT_OK;
    ft_input_free(exact);
    cr_assert(is_good || problem.text[0], "a refusal says why");
    return is_good;
}

static bool accepts(const char *hex)
{
    struct ft_slice bytes = ft_input_hex(hex);
    bool is_good = is_accepted(bytes);
    ft_input_free(bytes);
    return is_good;
}

/* Says why `hex` is refused; NULL when it is not. `*is_rule` is the scanner's. */
static const char *fault_of(const char *hex, bool *is_rule)
{
    struct ft_slice bytes = ft_input_hex(hex);
    struct ft_scan scan = ft_scan_of(bytes);
    struct ft_value value;
    const char *fault = ft_msgpack_value(&scan, &value) ? NULL : scan.fault;
    *is_rule = scan.is_rule;
    ft_input_free(bytes);
    return fault;
}

/* Our opinion must be msgpack-c's, where that can be asked. Returns 1 when it was. */
static int compare(struct ft_slice bytes)
{
    bool ours = is_accepted(bytes);
    enum ft_opinion theirs = ft_oracle_msgpack(bytes);
    if (theirs == FT_OPINION_NONE)
        return 0;
    if (ours != (theirs == FT_OPINION_GOOD)) {
        for (size_t i = 0; i < bytes.len; i++)
            fprintf(stderr, "%02x-", bytes.ptr[i]);
        cr_assert_fail("we say %d, msgpack-c says %d", ours, !ours);
    }
    return 1;
}

/* Cuts an encoding at every length, flips each of its bits. */
static int torture(struct ft_slice bytes)
{
    int asked = 0;
    for (size_t len = 0; len < bytes.len; len++)
        cr_assert_not(is_accepted(ft_slice(bytes.ptr, len)), "cut to %zu bytes", len);
    struct ft_slice copy = ft_input_exact(bytes);
    uint8_t *at = (uint8_t *)(uintptr_t)copy.ptr;
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        asked += compare(copy);
        at[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ft_input_free(copy);
    return asked;
}

Test(msgpack_scan, the_whole_suite_is_read_but_for_ext_types)
{
    json_t *suite = json_load_file("tests/data/msgpack-test-suite.json", 0, NULL);
    cr_assert(suite);
    int encodings = 0;
    int asked = 0;
    const char *group;
    json_t *cases;
    json_object_foreach(suite, group, cases)
    {
        size_t i;
        json_t *one;
        json_array_foreach(cases, i, one)
        {
            bool is_ext = json_object_get(one, "ext") || json_object_get(one, "timestamp");
            size_t k;
            json_t *hex;
            json_array_foreach(json_object_get(one, "msgpack"), k, hex)
            {
                struct ft_slice bytes = ft_input_hex(json_string_value(hex));
                cr_expect_eq(is_accepted(bytes), !is_ext, "%s: %s", group, json_string_value(hex));
                asked += compare(bytes) + torture(bytes);
                ft_input_free(bytes);
                encodings++;
            }
        }
    }
    cr_assert_eq(encodings, 233);
    cr_assert_gt(asked, 10000);
    json_decref(suite);
}

Test(msgpack_scan, a_claim_beyond_the_bytes_is_refused_at_its_header)
{
    cr_assert_not(accepts("dd-ff-ff-ff-ff"), "4 G elements");
    cr_assert_not(accepts("df-ff-ff-ff-ff"), "4 G pairs");
    cr_assert_not(accepts("dd-01-00-00-00-c0"));
    cr_assert_not(accepts("db-ff-ff-ff-ff-61"), "a string of 4 GB");
    cr_assert_not(accepts("c6-ff-ff-ff-ff-61"));
    cr_assert_not(accepts("c9-ff-ff-ff-ff-01"));
    cr_assert_not(accepts("82-a1-61-01"), "a pair short");
    cr_assert_not(accepts("92-01"));
    cr_assert_not(accepts("c1"), "a byte without a meaning");
    cr_assert_not(accepts(""), "nothing at all");
    cr_assert_not(accepts("01-02"), "two values");
}

Test(msgpack_scan, what_json_cannot_carry_is_refused_as_a_rule)
{
    static const char *const refused[] = {
        "d4-01-00",                   /* fixext 1 */
        "c7-00-05",                   /* an empty ext */
        "81-01-01",                   /* an integer as a key */
        "81-c0-01",                   /* nil as a key */
        "81-c4-01-61-01",             /* bytes as a key */
        "91-81-90-01",                /* an array as a key, deeper down */
        "ca-7f-c0-00-00",             /* NaN */
        "cb-7f-f0-00-00-00-00-00-00", /* infinity */
        "cb-ff-f0-00-00-00-00-00-00",
        "a1-ff",       /* not UTF-8 */
        "a2-c0-80",    /* U+0000, overlong */
        "a3-ed-a0-80", /* a surrogate */
        "81-a1-ff-01", /* a key that is not UTF-8 */
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        bool is_rule = false;
        cr_expect(fault_of(refused[i], &is_rule), "%s", refused[i]);
        cr_expect(is_rule, "%s is MessagePack, but not ours", refused[i]);
    }
    bool is_rule = true;
    cr_assert(fault_of("c1", &is_rule));
    cr_assert_not(is_rule);
}

Test(msgpack_scan, nesting_ends_at_32)
{
    uint8_t bytes[64];
    memset(bytes, 0x91, sizeof(bytes));
    bytes[31] = 0x90;
    cr_assert(is_accepted(ft_slice(bytes, 32)));
    bytes[31] = 0x91;
    bytes[32] = 0x01;
    cr_assert(is_accepted(ft_slice(bytes, 33)), "the value inside is not one more");
    bytes[32] = 0x90;
    cr_assert_not(is_accepted(ft_slice(bytes, 33)));
}

Test(msgpack_scan, a_refused_value_is_stepped_over)
{
    /* 40 maps deep, an ext inside, and then one byte more. */
    uint8_t bytes[256];
    size_t len = 0;
    for (int i = 0; i < 40; i++) {
        bytes[len++] = 0x81;
        bytes[len++] = 0xA0;
    }
    static const uint8_t ext[] = {0xD5, 1, 2, 3, 0x07};
    memcpy(bytes + len, ext, sizeof(ext));
    len += sizeof(ext);
    struct ft_slice exact = ft_input_exact(ft_slice(bytes, len));
    struct ft_scan scan = ft_scan_of(exact);
    struct ft_value value;
    cr_assert_not(ft_msgpack_value(&scan, &value));
    cr_assert(scan.is_rule);
    scan.at = exact.ptr;
    cr_assert(ft_msgpack_step_over(&scan));
    cr_assert_eq(scan.end - scan.at, 1);
    cr_assert_eq(*scan.at, 0x07);
    scan.at = exact.ptr;
    scan.end -= 2;
    cr_assert_not(ft_msgpack_step_over(&scan), "cut inside the ext");
    ft_input_free(exact);
}

Test(msgpack_scan, integers_are_read_in_every_width)
{
    static const struct {
        const char *hex;
        enum ft_value_kind kind;
        uint64_t num;
    } rows[] = {
        {"7f", FT_VALUE_UINT, 127},
        {"cc-ff", FT_VALUE_UINT, 255},
        {"cd-ff-ff", FT_VALUE_UINT, 65535},
        {"ce-ff-ff-ff-ff", FT_VALUE_UINT, UINT32_MAX},
        {"cf-ff-ff-ff-ff-ff-ff-ff-ff", FT_VALUE_UINT, UINT64_MAX},
        {"d0-7f", FT_VALUE_UINT, 127},
        {"d3-00-00-00-00-00-00-00-05", FT_VALUE_UINT, 5},
        {"e0", FT_VALUE_INT, (uint64_t)-32},
        {"d0-80", FT_VALUE_INT, (uint64_t)-128},
        {"d1-80-00", FT_VALUE_INT, (uint64_t)-32768},
        {"d2-80-00-00-00", FT_VALUE_INT, (uint64_t)INT32_MIN},
        {"d3-80-00-00-00-00-00-00-00", FT_VALUE_INT, UINT64_C(1) << 63},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ft_slice bytes = ft_input_hex(rows[i].hex);
        struct ft_scan scan = ft_scan_of(bytes);
        struct ft_value value;
        cr_assert(ft_msgpack_item(&scan, &value));
        cr_expect_eq(value.kind, rows[i].kind, "%s", rows[i].hex);
        cr_expect_eq(value.num, rows[i].num, "%s", rows[i].hex);
        cr_expect_eq(value.raw.len, bytes.len);
        ft_input_free(bytes);
    }
}

Test(msgpack_scan, random_documents_fare_as_with_msgpack_c, .timeout = 120)
{
    uint64_t state = 21;
    struct ft_buffer document;
    ft_buffer_init(&document, 1 << 16);
    int good = 0;
    int bad = 0;
    for (int i = 0; i < 30000; i++) {
        ft_buffer_clear(&document);
        ft_input_msgpack(&state, 4, &document);
        bool is_whole = i % 3 == 0;
        if (!is_whole)
            ft_input_damage(&state, &document);
        compare(ft_buffer_slice(&document));
        bool ours = is_accepted(ft_buffer_slice(&document));
        cr_assert(ours || !is_whole);
        good += ours;
        bad += !ours;
    }
    cr_assert_gt(good, 10000);
    cr_assert_gt(bad, 5000, "damage does damage: %d", bad);
    ft_buffer_fini(&document);
}
