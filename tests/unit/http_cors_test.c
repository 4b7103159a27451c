/* Origins, and what pages are told. */
#include "broker/http/cors.h"
#include "tests/unit/support/http_text.h"

#include <criterion/criterion.h>
#include <stdio.h>

static char any[] = "*", app[] = "https://app.example", dev[] = "http://dev.example:3000";

static char *const listed[] = {app, dev};
static const struct ft_http_options options = {.origins = listed, .origin_count = 2};

static char *const star[] = {any, app};
static const struct ft_http_options open_options = {.origins = star, .origin_count = 2};

static enum ft_cors judge(const char *host, const char *origin, bool is_tls)
{
    char fields[256];
    snprintf(fields, sizeof(fields), "Host: %s\nOrigin: %s\n", host, origin);
    return ft_cors_judge(ft_http_text("GET /", fields), is_tls, &options);
}

Test(http_cors, a_page_of_the_same_host_may_ask)
{
    cr_assert_eq(judge("a.example", "http://a.example", false), FT_CORS_SAME);
    cr_assert_eq(judge("A.example", "http://a.EXAMPLE", false), FT_CORS_SAME);
    cr_assert_eq(judge("a.example:80", "http://a.example", false), FT_CORS_SAME);
    cr_assert_eq(judge("a.example", "http://a.example:80", false), FT_CORS_SAME);
    cr_assert_eq(judge("a.example:8080", "http://a.example:8080", false), FT_CORS_SAME);
    cr_assert_eq(judge("[::1]:8080", "http://[::1]:8080", false), FT_CORS_SAME);
    cr_assert_eq(judge("a.example:443", "https://a.example", true), FT_CORS_SAME);
}

Test(http_cors, tls_may_end_in_front_of_us_but_not_begin_there)
{
    cr_assert_eq(judge("a.example", "https://a.example", false), FT_CORS_SAME);
    cr_assert_eq(judge("a.example", "http://a.example", true), FT_CORS_FOREIGN);
}

Test(http_cors, what_only_looks_like_it_is_foreign)
{
    static const char *const origins[] = {
        "http://a.example.evil.example",
        "http://evil-a.example",
        "http://a.example:8080",
        "http://a.example@evil.example",
        "http://a.exampl",
        "null",
        "http://",
        "a.example",
        "ftp://a.example",
        "https://app.example:444",
        "http://app.example",
        "https://x.app.example",
        "http://dev.example",
        "",
    };
    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++)
        cr_assert_eq(judge("a.example", origins[i], false), FT_CORS_FOREIGN, "%s", origins[i]);
}

Test(http_cors, the_list_names_who_else_may)
{
    cr_assert_eq(judge("a.example", "https://app.example", false), FT_CORS_LISTED);
    cr_assert_eq(judge("a.example", "HTTPS://APP.example", false), FT_CORS_LISTED);
    cr_assert_eq(judge("a.example", "http://dev.example:3000", true), FT_CORS_LISTED);
    const char *fields = "Origin: http://anybody.example\n";
    cr_assert_eq(ft_cors_judge(ft_http_text("GET /", fields), false, &open_options),
                 FT_CORS_ANYBODY);
    fields = "Origin: https://app.example\n";
    cr_assert_eq(ft_cors_judge(ft_http_text("GET /", fields), false, &open_options),
                 FT_CORS_LISTED);
}

Test(http_cors, none_and_several_are_told_apart)
{
    cr_assert_eq(ft_cors_judge(ft_http_text("GET /", ""), false, &options), FT_CORS_NONE);
    const char *fields = "Origin: https://app.example\nOrigin: https://app.example\n";
    cr_assert_eq(ft_cors_judge(ft_http_text("GET /", fields), false, &options), FT_CORS_SEVERAL);
}

static const char *told(enum ft_cors origin)
{
    static char text[512];
    struct ft_buffer headers;
    ft_buffer_init(&headers, sizeof(text));
    ft_cors_add(&headers, ft_http_text("GET /", "Origin: https://App.example\n"), origin);
    snprintf(text, sizeof(text), "%.*s", (int)headers.len,
             headers.ptr ? (const char *)headers.ptr : "");
    ft_buffer_fini(&headers);
    return text;
}

Test(http_cors, a_page_is_told_what_it_may_read)
{
    const char *text = told(FT_CORS_LISTED);
    cr_assert(strstr(text, "Access-Control-Allow-Origin: https://App.example\r\n"), "%s", text);
    cr_assert(strstr(text, "Vary: Origin\r\n"), "%s", text);
    cr_assert(strstr(text, "Access-Control-Allow-Credentials: true\r\n"), "%s", text);
    text = told(FT_CORS_ANYBODY);
    cr_assert(strstr(text, "Access-Control-Allow-Origin: https://App.example\r\n"), "%s", text);
    cr_assert_not(strstr(text, "Credentials"), "%s", text);
    cr_assert_str_empty(told(FT_CORS_NONE));
    cr_assert_str_empty(told(FT_CORS_FOREIGN));
    cr_assert_str_empty(told(FT_CORS_SEVERAL));
}

Test(http_cors, a_preflight_has_an_origin_and_asks_for_a_method)
{
    const char *both = "Origin: https://a.example\nAccess-Control-Request-Method: POST\n";
    cr_assert(ft_cors_is_preflight(ft_http_text("OPTIONS /", both)));
    cr_assert_not(ft_cors_is_preflight(ft_http_text("OPTIONS /", "Origin: https://a.example\n")));
    cr_assert_not(ft_cors_is_preflight(ft_http_text("OPTIONS /", strchr(both, '\n') + 1)));
}
