/* Where tokens are found in a request, and in which order. */
#include "broker/http/credentials.h"
#include "tests/unit/support/http_text.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct ft_credentials_places everywhere = {.cookie = "fantail_token",
                                                        .subprotocols = true};

/* Says where credentials were found, and what: "header abc", "none", or the error's number. */
static const char *found_in(const char *target, const char *fields,
                            const struct ft_credentials_places *places)
{
    static const char *const names[] = {"header", "subprotocol", "cookie", "query"};
    static char told[128];
    static uint8_t decoded[FT_HTTP_HEAD_MAX];
    struct ft_credentials found;
    struct ft_problem problem;
    char line[256];
    snprintf(line, sizeof(line), "GET %s", target);
    enum ft_err err =
        ft_credentials_find(ft_http_text(line, fields), places, decoded, &found, &problem);
    if (err != FT_OK) {
        cr_assert_not(strstr(problem.text, "secret"), "%s", problem.text);
        snprintf(told, sizeof(told), "%d", ft_err_wire(err));
    } else if (!found.text.ptr) {
        return "none";
    } else {
        snprintf(told, sizeof(told), "%s %.*s", names[found.place], (int)found.text.len,
                 (const char *)found.text.ptr);
    }
    return told;
}

#define FOUND(target, fields) found_in(target, fields, &everywhere)

Test(http_credentials, a_request_without_any_has_none)
{
    cr_assert_str_eq(FOUND("/ws", ""), "none");
    cr_assert_str_eq(FOUND("/ws?a=token&tokens=x&Token=x", "Cookie: a=b; Fantail_token=x\n"
                                                           "Sec-WebSocket-Protocol: chat\n"),
                     "none");
}

Test(http_credentials, the_first_place_counts)
{
    const char *all = "Authorization: Bearer h\nCookie: fantail_token=c\n"
                      "Sec-WebSocket-Protocol: fantail.v1.json, fantail.bearer.s\n";
    cr_assert_str_eq(FOUND("/ws?token=q", all), "header h");
    cr_assert_str_eq(FOUND("/ws?token=q", strchr(all, '\n') + 1), "subprotocol s");
    cr_assert_str_eq(FOUND("/ws?token=q", "Cookie: fantail_token=c\n"), "cookie c");
    cr_assert_str_eq(FOUND("/ws?token=q", ""), "query q");
}

Test(http_credentials, an_empty_one_is_there_all_the_same)
{
    cr_assert_str_eq(FOUND("/ws?token=q", "Authorization: Bearer\n"), "header ");
    cr_assert_str_eq(FOUND("/ws?token=q", "Cookie: fantail_token=\n"), "cookie ");
    cr_assert_str_eq(FOUND("/ws?a=b&%74oke%6E=x%2Dy", ""), "query x-y");
    cr_assert_str_eq(FOUND("/ws?token=", ""), "query ");
    cr_assert_str_eq(FOUND("/ws?token", ""), "query ");
}

Test(http_credentials, the_scheme_is_bearer_in_any_case_and_another_is_not_for_us)
{
    cr_assert_str_eq(FOUND("/", "Authorization: bEARER   x.y-z_0\n"), "header x.y-z_0");
    cr_assert_str_eq(FOUND("/?token=q", "Authorization: Basic c2VjcmV0\n"), "query q");
    cr_assert_str_eq(FOUND("/?token=q", "Authorization: Bearersecret\n"), "query q");
    cr_assert_str_eq(FOUND("/?token=q", "Authorization: secret\n"), "query q");
    cr_assert_str_eq(FOUND("/?token=q", "Authorization:\n"), "query q");
    cr_assert_str_eq(FOUND("/?token=q", "Authorization: Bearer\n"), "header ");
}

Test(http_credentials, several_of_a_kind_are_refused)
{
    cr_assert_str_eq(FOUND("/", "Authorization: Bearer secret\nAuthorization: Bearer secret\n"),
                     "400");
    cr_assert_str_eq(FOUND("/", "Sec-WebSocket-Protocol: fantail.bearer.secret\n"
                                "Sec-WebSocket-Protocol: fantail.bearer.secret2\n"),
                     "400");
    cr_assert_str_eq(FOUND("/?token=secret&token=secret", ""), "400");
    cr_assert_str_eq(FOUND("/", "Cookie: fantail_token=first; fantail_token=second\n"),
                     "cookie first");
}

Test(http_credentials, a_query_is_decoded)
{
    cr_assert_str_eq(FOUND("/?x=1&token=a%2Eb%2dc&y=2", ""), "query a.b-c");
    cr_assert_str_eq(FOUND("/?token=secret%2", ""), "400");
}

Test(http_credentials, places_that_do_not_count_are_not_looked_at)
{
    const char *fields = "Cookie: fantail_token=c\nSec-WebSocket-Protocol: fantail.bearer.s\n";
    struct ft_credentials_places cookie = {.cookie = "fantail_token"};
    cr_assert_str_eq(found_in("/?token=q", fields, &cookie), "cookie c");
    cr_assert_str_eq(found_in("/?token=q", fields, &(struct ft_credentials_places){0}), "query q");
    struct ft_credentials_places other = {.cookie = "session"};
    cr_assert_str_eq(found_in("/?token=q", fields, &other), "query q");
}
