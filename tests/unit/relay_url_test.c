/* URLs of Redis servers: what they mean, what is refused, and that no message tells a password. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "broker/relay/url.h"

static const struct {
    const char *text, *host, *path, *user, *password, *shown;
    unsigned port, database;
} good[] = {
    {"redis://127.0.0.1:6380/3", "127.0.0.1", NULL, NULL, NULL, "redis://127.0.0.1:6380/3", 6380,
     3},
    {"redis://redis.example", "redis.example", NULL, NULL, NULL, "redis://redis.example:6379", 6379,
     0},
    {"redis://redis.example/", "redis.example", NULL, NULL, NULL, "redis://redis.example:6379",
     6379, 0},
    {"redis://a_b-c.D/0", "a_b-c.D", NULL, NULL, NULL, "redis://a_b-c.D:6379", 6379, 0},
    {"redis://[2001:db8::1]:6381/1", "2001:db8::1", NULL, NULL, NULL,
     "redis://[2001:db8::1]:6381/1", 6381, 1},
    {"redis://[::1]", "::1", NULL, NULL, NULL, "redis://[::1]:6379", 6379, 0},
    {"redis://:secret@h", "h", NULL, NULL, "secret", "redis://h:6379", 6379, 0},
    {"redis://fan:secret@h:1", "h", NULL, "fan", "secret", "redis://h:1", 1, 0},
    {"redis://f%40n:%2f%3A%3f%25%c3%A4@h:65535/15", "h", NULL, "f@n", "/:?%\xc3\xa4",
     "redis://h:65535/15", 65535, 15},
    {"redis://u:@h", "h", NULL, "u", "", "redis://h:6379", 6379, 0},
    {"unix:///run/redis.sock", NULL, "/run/redis.sock", NULL, NULL, "unix:///run/redis.sock", 0, 0},
    {"unix:///run/a%20b.sock?db=7", NULL, "/run/a b.sock", NULL, NULL,
     "unix:///run/a%20b.sock?db=7", 0, 7},
    {"unix://fan:se%63ret@/run/r.sock?db=0", NULL, "/run/r.sock", "fan", "secret",
     "unix:///run/r.sock", 0, 0},
    {"unix:///run/@:odd", NULL, "/run/@:odd", NULL, NULL, "unix:///run/@:odd", 0, 0},
};

static void assert_text(const char *url, const char *got, const char *expected)
{
    cr_assert_eq(got == NULL, expected == NULL, "%s", url);
    if (expected)
        cr_assert_str_eq(got, expected, "%s", url);
}

Test(relay_url, is_read)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct ft_redis_url url;
        char error[FT_RELAY_ERROR_MAX] = "";
        const char *text = good[i].text;
        cr_assert(ft_redis_url_check(text, error), "%s: %s", text, error);
        cr_assert(ft_redis_url_read(text, &url, error), "%s: %s", text, error);
        assert_text(text, url.host, good[i].host);
        assert_text(text, url.path, good[i].path);
        assert_text(text, url.user, good[i].user);
        assert_text(text, url.password, good[i].password);
        cr_assert_str_eq(url.shown, good[i].shown);
        cr_assert_eq(url.port, good[i].port, "%s", text);
        cr_assert_eq(url.database, good[i].database, "%s", text);
        ft_redis_url_fini(&url);
    }
}

static const struct {
    const char *text, *why;
} bad[] = {
    {"", "begins with redis://"},
    {"localhost:6379", "begins with redis://"},
    {"http://h", "begins with redis://"},
    {"REDIS://h", "begins with redis://"},
    {"rediss://u:secret@h", "stunnel"},
    {"redis://", "the host is"},
    {"redis:///1", "the host is"},
    {"redis://:6379", "the host is"},
    {"redis://a b", "blank"},
    {"redis://h\x01", "blank"},
    {"redis://h\xc3\xa4", "blank"},
    {"redis://h/1#x", "#"},
    {"redis://h:", "the port"},
    {"redis://h:0", "the port"},
    {"redis://h:65536", "the port"},
    {"redis://h:123456", "the port"},
    {"redis://h:-1", "the port"},
    {"redis://h:12x", "the port"},
    {"redis://h/x", "the database"},
    {"redis://h/-1", "the database"},
    {"redis://h/100000", "the database"},
    {"redis://h/1/", "the database"},
    {"redis://h/1?db=2", "the database"},
    {"redis://h?db=2", "the host is"},
    {"redis://h,i", "the host is"},
    {"redis://::1", "the host is"},
    {"redis://[::1", "IPv6"},
    {"redis://[::1]6379", "the port"},
    {"redis://[127.0.0.1]", "the host is"},
    {"redis://[]", "the host is"},
    {"redis://secret@h", "user:password"},
    {"redis://@h", "user:password"},
    {"redis://u:sec:ret@h", "%3A"},
    {"redis://u:sec@ret@h", "%40"},
    {"redis://u:secret%@h", "hexadecimal"},
    {"redis://u:secret%4@h", "hexadecimal"},
    {"redis://u:secret%4g@h", "hexadecimal"},
    {"redis://u:secret%00@h", "hexadecimal"},
    {"redis://u%0:secret@h", "hexadecimal"},
    {"redis://u:secret/secret@h", "the port"},
    {"redis://u:secret@", "the host is"},
    {"unix://", "begins with /"},
    {"unix://run/redis.sock", "three of them"},
    {"unix://:secret@run/redis.sock", "behind the @"},
    {"unix:///run/%zz", "hexadecimal"},
    {"unix:///run/r?", "db=NUMBER"},
    {"unix:///run/r?database=1", "db=NUMBER"},
    {"unix:///run/r?db=", "the database"},
    {"unix:///run/r?db=1&x=2", "the database"},
};

Test(relay_url, is_refused_with_a_reason_that_tells_no_secret)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char error[FT_RELAY_ERROR_MAX] = "";
        cr_assert_not(ft_redis_url_check(bad[i].text, error), "%s", bad[i].text);
        cr_assert(strstr(error, bad[i].why), "%s: %s", bad[i].text, error);
        cr_assert_not(strstr(error, "secret"), "%s: %s", bad[i].text, error);
        cr_assert_not(strchr(error, '\n'), "%s: %s", bad[i].text, error);
    }
}

Test(relay_url, what_is_too_long_is_refused_or_cut_where_it_is_shown)
{
    char text[512], error[FT_RELAY_ERROR_MAX];
    struct ft_redis_url url;

    snprintf(text, sizeof(text), "redis://%0253d", 1);
    cr_assert(ft_redis_url_read(text, &url, error), "%s", error);
    cr_assert_eq(strlen(url.host), 253);
    ft_redis_url_fini(&url);
    snprintf(text, sizeof(text), "redis://%0254d", 1);
    cr_assert_not(ft_redis_url_check(text, error));
    cr_assert(strstr(error, "longer than 253"), "%s", error);

    snprintf(text, sizeof(text), "unix:///%0106d?db=1", 1);
    cr_assert(ft_redis_url_read(text, &url, error), "%s", error);
    cr_assert_eq(strlen(url.path), 107);
    ft_redis_url_fini(&url);
    snprintf(text, sizeof(text), "unix:///%0107d", 1);
    cr_assert_not(ft_redis_url_check(text, error));
    cr_assert(strstr(error, "longer than 107"), "%s", error);
}
