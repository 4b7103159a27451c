/* Queries: what is decoded, what is refused. */
#include "broker/http/query.h"
#include "protocol/envelope.h"
#include "tests/unit/support/http_text.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Tells all parameters of a query, "a=1 b=2", or how the reading ended. */
static const char *told(const char *query)
{
    static char text[1024];
    static struct ft_query walk;
    char line[512];
    struct ft_slice name, value;
    struct ft_problem problem;
    enum ft_err err;
    size_t n = 0;
    text[0] = '\0';
    snprintf(line, sizeof(line), "GET /x?%s", query);
    ft_query_begin(&walk, ft_http_text(line, ""));
    while ((err = ft_query_read(&walk, &name, &value, &problem)) == FT_OK)
        n +=
            (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s=%.*s", n ? " " : "", (int)name.len,
                             (const char *)name.ptr, (int)value.len, (const char *)value.ptr);
    if (err == FT_ERR_NOT_FOUND)
        return text;
    cr_assert_eq(err, FT_ERR_BAD_REQUEST);
    cr_assert_not(strstr(problem.text, "secret"), "%s", problem.text);
    return "refused";
}

/* A filter as it comes out of such a query. */
static const char *filter(const char *encoded)
{
    static char text[256];
    static struct ft_query walk;
    char line[512];
    struct ft_slice name, value;
    snprintf(line, sizeof(line), "GET /x?other=1+2&topic=%s", encoded);
    ft_query_begin(&walk, ft_http_text(line, ""));
    cr_assert_eq(ft_query_read(&walk, &name, &value, NULL), FT_OK);
    cr_assert_eq(ft_query_read(&walk, &name, &value, NULL), FT_OK);
    ft_query_keep_wildcards(&walk, value);
    snprintf(text, sizeof(text), "%.*s", (int)value.len, (const char *)value.ptr);
    return text;
}

Test(http_query, a_plus_that_is_a_level_stays_one)
{
    cr_assert_str_eq(filter("a/+/b"), "a/+/b");
    cr_assert_str_eq(filter("+"), "+");
    cr_assert_str_eq(filter("+/+"), "+/+");
    cr_assert_str_eq(filter("+%2F%2B%2f+/%23"), "+/+/+/#");
    cr_assert_str_eq(filter("a+b/+c/d+/++"), "a b/ c/d /  ");
    cr_assert_str_eq(filter("a/%20/b"), "a/ /b");
    cr_assert_str_eq(filter(""), "");
}

Test(http_query, is_read_as_forms_write_it)
{
    cr_assert_str_eq(told(""), "");
    cr_assert_str_eq(told("a=1&b=2"), "a=1 b=2");
    cr_assert_str_eq(told("t%6Fpic=a%2Fb%20c+d%2B&last"), "topic=a/b c d+ last=");
    cr_assert_str_eq(told("k=%E2%82%AC"), "k=\xE2\x82\xAC");
    cr_assert_str_eq(told("a=b=c"), "a=b=c");
}

Test(http_query, what_cannot_be_decoded_is_refused_and_not_shown)
{
    cr_assert_str_eq(told("key=secret%"), "refused");
    cr_assert_str_eq(told("key=secret%zz"), "refused");
    cr_assert_str_eq(told("key=secret%ff"), "refused");
    cr_assert_str_eq(told("a=1&%ff=1"), "refused");
}

Test(http_query, numbers_are_what_an_envelope_takes)
{
    uint64_t out = 7;
    static const char *const bad[] = {"",
                                      "-1",
                                      "1.5",
                                      "x",
                                      "1x",
                                      " 1",
                                      "+1",
                                      "0x1",
                                      "1e3",
                                      "9007199254740992",
                                      "99999999999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(ft_query_uint("n", ft_slice_str(bad[i]), &out, NULL), FT_ERR_BAD_REQUEST, "%s",
                     bad[i]);
    cr_assert_eq(out, 7);
    cr_assert_eq(ft_query_uint("n", ft_slice_str("9007199254740991"), &out, NULL), FT_OK);
    cr_assert_eq(out, FT_INT_MAX);
    cr_assert_eq(ft_query_uint("n", ft_slice_str("007"), &out, NULL), FT_OK);
    cr_assert_eq(out, 7);
}

Test(http_query, switches_are_on_or_off)
{
    bool out = false;
    cr_assert_eq(ft_query_bool("b", ft_slice_str("1"), &out, NULL), FT_OK);
    cr_assert(out);
    cr_assert_eq(ft_query_bool("b", ft_slice_str("false"), &out, NULL), FT_OK);
    cr_assert_not(out);
    cr_assert_eq(ft_query_bool("b", ft_slice_str("true"), &out, NULL), FT_OK);
    cr_assert(out);
    cr_assert_eq(ft_query_bool("b", ft_slice_str("0"), &out, NULL), FT_OK);
    cr_assert_not(out);
    cr_assert_eq(ft_query_bool("b", ft_slice_str("yes"), &out, NULL), FT_ERR_BAD_REQUEST);
    cr_assert_eq(ft_query_bool("b", ft_slice_str(""), &out, NULL), FT_ERR_BAD_REQUEST);
}
