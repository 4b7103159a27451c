/* What the operator decided about HTTP, as requests see it. */
#include "broker/http/options.h"

#include <criterion/criterion.h>

static char any[] = "*", plain[] = "http://a.example:8080", named[] = "https://a.example",
            below[] = "https://*.b.example";

static enum ft_origin find(char *const *origins, size_t count, const char *origin)
{
    const struct ft_http_options options = {.origins = origins, .origin_count = count};

    return ft_http_origin_find(&options, ft_slice_str(origin));
}

Test(http_options, origins_are_found_as_browsers_write_them)
{
    char *origins[] = {plain, named, below};

    cr_assert_eq(find(origins, 3, "https://a.example"), FT_ORIGIN_LISTED);
    cr_assert_eq(find(origins, 3, "HTTPS://A.example"), FT_ORIGIN_LISTED);
    cr_assert_eq(find(origins, 3, "http://a.example:8080"), FT_ORIGIN_LISTED);
    cr_assert_eq(find(origins, 3, "https://x.b.example"), FT_ORIGIN_LISTED);
    cr_assert_eq(find(origins, 3, "https://x.y-1.b.example"), FT_ORIGIN_LISTED);
}

Test(http_options, what_only_resembles_a_listed_origin_is_foreign)
{
    char *origins[] = {plain, named, below};
    static const char *const foreign[] = {
        "",
        "null",
        "*",
        "https://",
        "http://a.example",
        "https://a.example:8443",
        "https://a.example.evil.example",
        "https://evila.example",
        "https://a.exampl",
        "https://b.example",
        "https://.b.example",
        "https://xb.example",
        "http://x.b.example",
        "https://x.b.example:8443",
        "https://evil.example/.b.example",
        "https://evil.example?.b.example",
        "https://u:p@x.b.example",
        "https://*.b.example",
    };

    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        cr_assert_eq(find(origins, 3, foreign[i]), FT_ORIGIN_FOREIGN, "%s", foreign[i]);
    cr_assert_eq(find(NULL, 0, "https://a.example"), FT_ORIGIN_FOREIGN);
}

Test(http_options, a_nul_in_an_origin_ends_nothing)
{
    char *origins[] = {named, below};
    const struct ft_http_options options = {.origins = origins, .origin_count = 2};

    cr_assert_eq(ft_http_origin_find(&options, ft_slice("https://a.example\0", 18)),
                 FT_ORIGIN_FOREIGN);
    cr_assert_eq(ft_http_origin_find(&options, ft_slice("https://x\0.b.example", 20)),
                 FT_ORIGIN_FOREIGN);
}

Test(http_options, a_star_lets_everybody_in_and_those_who_are_named_further)
{
    char *origins[] = {any, named};

    cr_assert_eq(find(origins, 2, "https://a.example"), FT_ORIGIN_LISTED);
    cr_assert_eq(find(origins, 2, "https://c.example"), FT_ORIGIN_ANYBODY);
    cr_assert_eq(find(origins, 2, "null"), FT_ORIGIN_ANYBODY);
}

Test(http_options, a_copy_is_all_its_own)
{
    char path[] = "/ws", cookie[] = "token", origin[] = "https://a.example";
    char *origins[] = {origin};
    struct ft_network trusted = {.bits = 104};
    const struct ft_http_options options = {.ws_path = path,
                                            .cookie = cookie,
                                            .body_bytes = 7,
                                            .origins = origins,
                                            .origin_count = 1,
                                            .trusted = &trusted,
                                            .trusted_count = 1,
                                            .metrics_admin = true,
                                            .console = true};
    struct ft_http_options *copy = ft_http_options_copy(&options);

    path[1] = cookie[0] = origin[0] = 'X';
    trusted.bits = 0;
    cr_assert_str_eq(copy->ws_path, "/ws");
    cr_assert_str_eq(copy->cookie, "token");
    cr_assert_str_eq(copy->origins[0], "https://a.example");
    cr_assert_eq(copy->trusted[0].bits, 104);
    cr_assert_eq(copy->trusted_count, 1);
    cr_assert_eq(copy->body_bytes, 7);
    cr_assert(copy->metrics_admin);
    cr_assert(copy->console);
    ft_http_options_free(copy);
    ft_http_options_free(NULL);
}
