/* A broker's address as people write it. */
#include <criterion/criterion.h>

#include "clients/c/url.h"

Test(client_url, every_usual_form_is_taken_apart)
{
    static const struct {
        const char *text, *host, *host_port, *path;
        uint16_t port;
        bool is_tls;
    } rows[] = {
        {"ws://127.0.0.1:8080/ws", "127.0.0.1", "127.0.0.1:8080", "/ws", 8080, false},
        {"ws://example.org", "example.org", "example.org", "/ws", 80, false},
        {"ws://example.org/", "example.org", "example.org", "/ws", 80, false},
        {"wss://example.org", "example.org", "example.org", "/ws", 443, true},
        {"WSS://example.org:443/a/b?c=d", "example.org", "example.org", "/a/b?c=d", 443, true},
        {"wss://example.org:80?x=1", "example.org", "example.org:80", "/ws?x=1", 80, true},
        {"ws://example.org/?x=1", "example.org", "example.org", "/ws?x=1", 80, false},
        {"ws://[::1]:8080/ws", "::1", "[::1]:8080", "/ws", 8080, false},
        {"ws://[fe80::1]", "fe80::1", "[fe80::1]", "/ws", 80, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ft_url url;
        struct ft_problem problem;
        cr_assert_eq(ft_url_read(rows[i].text, &url, &problem), FT_OK, "%s", rows[i].text);
        cr_expect_str_eq(url.host, rows[i].host);
        cr_expect_str_eq(url.host_port, rows[i].host_port);
        cr_expect_str_eq(url.path, rows[i].path);
        cr_expect_eq(url.port, rows[i].port);
        cr_expect_eq(url.is_tls, rows[i].is_tls);
    }
}

Test(client_url, what_is_wrong_is_named)
{
    static const char *const rows[][2] = {
        {"http://example.org", "ws://"},
        {"example.org:8080", "ws://"},
        {"ws://", "no host"},
        {"ws://:8080", "no host"},
        {"ws://h:0", "1 and 65535"},
        {"ws://h:65536", "1 and 65535"},
        {"ws://h:8x", "1 and 65535"},
        {"ws://h:", "not a number"},
        {"ws://h: 80", "space"},
        {"ws://[::1", "bracket"},
        {"ws://user@h", "user name"},
        {"ws://h/#top", "fragment"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ft_url url = {.port = 7};
        struct ft_problem problem;
        cr_assert_eq(ft_url_read(rows[i][0], &url, &problem), FT_ERR_BAD_FIELD, "%s", rows[i][0]);
        cr_expect(strstr(problem.text, rows[i][1]), "%s: %s", rows[i][0], problem.text);
        cr_expect_eq(url.port, 7, "the result is untouched");
    }
}

Test(client_url, lengths_are_bounded)
{
    static char text[8192];
    struct ft_url url;
    strcpy(text, "ws://");
    memset(text + 5, 'h', 300);
    cr_assert_eq(ft_url_read(text, &url, NULL), FT_ERR_BAD_FIELD);
    strcpy(text, "ws://h/");
    memset(text + 7, 'p', FT_URL_PATH_MAX);
    cr_assert_eq(ft_url_read(text, &url, NULL), FT_ERR_BAD_FIELD);
}
