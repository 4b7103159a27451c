/*
 * Signatures that this project did not make: Wycheproof's vectors for JSON Web Signatures, 401 of them.
 * Each key is read as a key file; each text must be judged as they judge it, but for the few below.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>

#include "broker/auth/jws.h"
#include "tests/unit/support/input.h"

/*
 * Where our verdict is another. 346, 350: the key says PS256 and the token PS384; here the key decides.
 * 372, 373: a '?' amid the base64url, which RFC 7515 section 2 does not allow, and which the signature
 * was not made of. 367, 370: the same text, byte for byte, as 357, which is valid.
 */
static const int other[] = {346, 350, 367, 370, 372, 373};

static bool is_other(int id)
{
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        if (other[i] == id)
            return true;
    return false;
}

static bool is_accepted(const struct ft_keys *keys, struct ft_slice text)
{
    uint8_t out[FT_TOKEN_PART_MAX];
    struct ft_slice payload;
    struct ft_problem problem = {.text = ""};
    struct ft_slice token = ft_input_exact(text);
    enum ft_err err = ft_jws_verify(keys, token, out, &payload, &problem);
    ft_input_free(token);
    cr_assert(err == FT_OK || err == FT_ERR_UNAUTHORIZED);
    cr_assert_eq(err == FT_OK, problem.text[0] == '\0', "%s", problem.text);
    return err == FT_OK;
}

/* Some are given in JSON form: an object, whose text must be refused. */
static bool is_test_accepted(const struct ft_keys *keys, const json_t *jws)
{
    if (json_is_string(jws))
        return is_accepted(keys, ft_slice(json_string_value(jws), json_string_length(jws)));
    char *text = json_dumps(jws, JSON_COMPACT);
    bool is_good = is_accepted(keys, ft_slice_str(text));
    free(text);
    return is_good;
}

static size_t check_group(const json_t *group, size_t *valid)
{
    struct ft_keys keys = {.count = 0};
    struct ft_problem problem;
    const json_t *jwk = json_object_get(group, "public");
    char *text = json_dumps(jwk ? jwk : json_object_get(group, "private"), JSON_COMPACT);
    /* Keys for encryption leave no key at all, and nothing is accepted then. */
    enum ft_err err = ft_keys_read_bytes(&keys, ft_slice_str(text), &problem);
    cr_assert_eq(err == FT_OK, keys.count == 1, "%s", problem.text);
    free(text);

    const json_t *tests = json_object_get(group, "tests");
    for (size_t i = 0; i < json_array_size(tests); i++) {
        const json_t *test = json_array_get(tests, i);
        int id = (int)json_integer_value(json_object_get(test, "tcId"));
        const char *result = json_string_value(json_object_get(test, "result"));
        bool is_valid = strcmp(result, "valid") == 0;
        bool is_good = is_test_accepted(&keys, json_object_get(test, "jws"));
        *valid += is_valid;
        cr_expect_eq(is_good, is_valid != is_other(id), "test %d is %s: %s", id, result,
                     json_string_value(json_object_get(test, "comment")));
    }
    ft_keys_fini(&keys);
    return json_array_size(tests);
}

Test(auth_wycheproof, every_signature_is_judged_as_it_should)
{
    json_t *top = json_load_file("tests/data/json_web_signature_test.json", 0, NULL);
    cr_assert(top);
    const json_t *groups = json_object_get(top, "testGroups");
    size_t total = 0, valid = 0;
    for (size_t i = 0; i < json_array_size(groups); i++)
        total += check_group(json_array_get(groups, i), &valid);
    json_decref(top);
    cr_assert_eq(total, 401);
    cr_assert_eq(valid, 46);
}
