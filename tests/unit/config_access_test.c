/* Settings of who may come in, and where: how they are read, and what they may say together. */
#include "broker/app/config.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/app/address.h"
#include "broker/app/origin.h"

static struct ft_config config;
static struct ft_config_error error;

static void begin(void)
{
    ft_config_init(&config);
    memset(&error, 0, sizeof(error));
}

static void end(void)
{
    ft_config_fini(&config);
}

TestSuite(config_access, .init = begin, .fini = end);

/* Makes a config anew of these assignments, which end with NULL. */
static int finish(const char *const *assignments)
{
    end();
    begin();
    for (; *assignments; assignments++)
        cr_assert_eq(ft_config_set(&config, *assignments, &error), 0, "%s", error.text);
    return ft_config_finish(&config, &error);
}

#define FINISH(...) finish((const char *const[]){__VA_ARGS__, NULL})

#define assert_taken(...) cr_assert_eq(FINISH(__VA_ARGS__), 0, "%s", error.text)

#define assert_refused(fragment, ...)                                                             \
    do {                                                                                          \
        cr_assert_eq(FINISH(__VA_ARGS__), -1);                                                    \
        cr_assert(strstr(error.text, fragment), "\"%s\" is not in \"%s\"", fragment, error.text); \
    } while (0)

static void set(const char *assignment)
{
    cr_assert_eq(ft_config_set(&config, assignment, &error), 0, "%s", error.text);
}

static void assert_no_value(const char *assignment, const char *fragment)
{
    cr_assert_eq(ft_config_set(&config, assignment, &error), -1, "%s was taken", assignment);
    cr_assert(strstr(error.text, fragment), "\"%s\" is not in \"%s\"", fragment, error.text);
}

/* ---- without a word about auth ---- */

Test(config_access, without_auth_only_loopback_is_served)
{
    static const char *const remote[] = {
        "listen=0.0.0.0:8080",     "listen=127.0.0.1:1, [::]:2",   "listen=192.0.2.1:80",
        "listen=[2001:db8::1]:80", "listen=[::ffff:127.0.0.1]:80", "http.proxy_listen=0.0.0.0:1",
        "listen=126.0.0.1:80",     "listen=128.0.0.1:80",
    };

    for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
        assert_refused("serves other machines, and auth is not configured: set auth.mode = token "
                       "with auth.secret, auth.keys or auth.api_keys, or auth.mode = none",
                       remote[i]);
        cr_assert_eq(strncmp(error.text, "--set: ", 7), 0, "%s", error.text);
        assert_taken(remote[i], "auth.mode=none");
        assert_taken(remote[i], "auth.mode=token", "auth.secret=x");
    }
    assert_refused("tls.listen = 0.0.0.0:1 serves", "tls.listen=0.0.0.0:1", "tls.cert=c",
                   "tls.key=k");
    assert_refused("tls.proxy_listen = 0.0.0.0:1 serves", "tls.proxy_listen=0.0.0.0:1",
                   "tls.cert=c", "tls.key=k");
    assert_taken("listen=127.0.0.1:1, 127.8.8.8:2, [::1]:3, [0:0::1]:4");
    cr_assert_eq(config.auth_mode, FT_AUTH_CHOICE_UNSET);
}

Test(config_access, what_only_tokens_give_a_meaning_to_is_mode_token)
{
    static const char *const grounds[] = {"auth.secret=x", "auth.keys=/k", "auth.api_keys=/k",
                                          "auth.anonymous_sub=a/#", "auth.anonymous_pub=a/#"};

    for (size_t i = 0; i < sizeof(grounds) / sizeof(grounds[0]); i++) {
        assert_taken(grounds[i], "listen=0.0.0.0:1", "auth.issuer=x");
        cr_assert_eq(config.auth_mode, FT_AUTH_CHOICE_TOKEN);
        assert_taken(grounds[i], "auth.mode=none");
        cr_assert_eq(config.auth_mode, FT_AUTH_CHOICE_NONE);
    }
}

Test(config_access, tokens_want_something_to_check_them_with)
{
    assert_refused("--set: auth.mode = token needs auth.secret, auth.keys or auth.api_keys",
                   "auth.mode=token", "auth.issuer=x");
    assert_refused("--set: auth.issuer is about tokens", "auth.issuer=x");
    assert_refused("--set: auth.user_pub is about tokens", "auth.user_pub=a");
    assert_taken("auth.issuer=x", "auth.mode=none");
    end();
    begin();
    assert_no_value("auth.mode=open", "auth.mode = \"open\" must be none or token");
}

/* ---- listeners ---- */

Test(config_access, plain_listeners_can_be_switched_off)
{
    assert_taken("listen=none", "tls.listen=127.0.0.1:1", "tls.cert=c", "tls.key=k");
    cr_assert_eq(config.listen.count, 0);
    assert_taken("listen=none", "http.proxy_listen=127.0.0.1:1");
    assert_refused("--set: listen = none leaves nothing to serve at", "listen=none");
    assert_no_value("tls.listen=none, 127.0.0.1:1", "must be up to 16 different addresses");
    assert_no_value("tls.listen=", "must be up to 16 different addresses");
}

Test(config_access, an_address_speaks_one_thing)
{
    assert_refused("--set: tls.listen = 127.0.0.1:8080 is in listen already",
                   "tls.listen=127.0.0.1:8080", "tls.cert=c", "tls.key=k");
    assert_refused("http.proxy_listen = [::1]:9 is in listen already", "listen=[::1]:9",
                   "http.proxy_listen=[::1]:9");
    assert_taken("listen=127.0.0.1:0", "http.proxy_listen=127.0.0.1:0");
}

Test(config_access, tls_wants_a_certificate_and_its_key)
{
    assert_refused("--set: tls.listen needs tls.cert and tls.key", "tls.listen=127.0.0.1:1");
    assert_refused("tls.proxy_listen needs tls.cert", "tls.proxy_listen=127.0.0.1:1");
    assert_refused("tls.key is missing", "tls.cert=c");
    assert_refused("tls.cert is missing", "tls.key=k", "tls.listen=127.0.0.1:1");
    assert_taken("tls.cert=c", "tls.key=k");
}

Test(config_access, addresses_of_this_machine_are_known)
{
    struct ft_address address;

    cr_assert(ft_address_parse("127.255.0.1:1", &address) && ft_address_is_loopback(&address));
    cr_assert(ft_address_parse("[::1]:1", &address) && ft_address_is_loopback(&address));
    cr_assert(ft_address_parse("12.7.0.0:1", &address) && !ft_address_is_loopback(&address));
    cr_assert(ft_address_parse("[::2]:1", &address) && !ft_address_is_loopback(&address));
}

/* ---- secrets ---- */

Test(config_access, a_secret_is_never_shown)
{
    char text[2000] = "auth.secret=", *printed = NULL;
    size_t size = 0;

    set("auth.secret=open sesame");
    cr_assert_str_eq(config.auth_secret, "open sesame");
    FILE *out = open_memstream(&printed, &size);
    ft_config_print(&config, out);
    fclose(out);
    cr_assert_not(strstr(printed, "sesame"));
    cr_assert(strstr(printed, "\n# secret = (not shown)\n"), "%s", printed);
    free(printed);
    memset(text + 12, 's', 1025);
    end();
    begin();
    assert_no_value(text, "auth.secret must be up to 1024 bytes of text");
    cr_assert_not(strstr(error.text, "ssss"));
    assert_no_value("auth.secret=open\x01sesame", "auth.secret must be");
    cr_assert_not(strstr(error.text, "sesame"));
}

Test(config_access, what_is_set_can_be_unset_by_a_later_source)
{
    const char *environment[] = {"FANTAIL_AUTH_SECRET=x", "FANTAIL_AUTH_USER_SUB=a,b", NULL};

    cr_assert_eq(ft_config_load_env(&config, (char *const *)environment, &error), 0);
    cr_assert_eq(config.auth_user_sub.count, 2);
    set("auth.secret=");
    set("auth.user_sub=");
    cr_assert_null(config.auth_secret);
    cr_assert_eq(config.auth_user_sub.count, 0);
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
    cr_assert_eq(config.auth_mode, FT_AUTH_CHOICE_UNSET);
}

/* ---- lists ---- */

Test(config_access, filters_may_hold_what_separates_them)
{
    static const char *const items[] = {"chat/#",   "user/%u/+",   "a, b",      "back\\slash",
                                        " blanks ", "semi ;colon", "two words", "#"};

    set("auth.user_sub=chat/#,user/%u/+ , a\\, b,back\\\\slash,\\ blanks\\ ,semi \\;colon , "
        "two words,#");
    cr_assert_eq(config.auth_user_sub.count, 8);
    for (size_t i = 0; i < 8; i++)
        cr_assert_str_eq(config.auth_user_sub.items[i], items[i]);
}

Test(config_access, what_is_printed_of_lists_reads_back_from_a_file)
{
    char path[] = "/tmp/fantail-access-test-XXXXXX", *text = NULL, *again = NULL;
    size_t size = 0;
    int fd = mkstemp(path);
    FILE *out = fdopen(fd, "w");

    set("auth.user_sub=a\\, b,back\\\\slash,\\ blanks\\ ,semi \\;colon,#");
    set("auth.keys=/etc/a b\\,c.pem,/k");
    set("http.origins=https://a.example *");
    set("http.trusted_proxies=10.0.0.0/8,::1");
    set("auth.audience=one,and another");
    set("tls.listen=127.0.0.1:1,[::1]:2");
    ft_config_print(&config, out);
    fclose(out);
    out = open_memstream(&text, &size);
    ft_config_print(&config, out);
    fclose(out);
    end();
    begin();
    cr_assert_eq(ft_config_load_file(&config, path, &error), 0, "%s", error.text);
    unlink(path);
    out = open_memstream(&again, &size);
    ft_config_print(&config, out);
    fclose(out);
    cr_assert_str_eq(again, text);
    cr_assert_str_eq(config.auth_user_sub.items[3], "semi ;colon");
    cr_assert_str_eq(config.auth_keys.items[0], "/etc/a b,c.pem");
    free(text);
    free(again);
}

Test(config_access, items_that_are_none_are_refused)
{
    static const char *const bad[] = {
        "auth.user_sub=a/#/b",
        "auth.user_sub=a\\",
        "auth.anonymous_pub=a,b+",
        "auth.keys=/a\x01",
        "auth.audience=\xff",
        "http.trusted_proxies=10.0.0.0/33",
        "http.trusted_proxies=example",
        "http.trusted_proxies=10.0.0.1/8",
        "http.origins=example.com",
        "http.origins=https://a.example/",
        "auth.cookie=a b",
        "auth.cookie=a=b",
    };
    char many[400] = "auth.audience=";

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_no_value(bad[i], " must be ");
    for (int i = 0; i < 17; i++)
        strcat(many, "x,");
    assert_no_value(many, "up to 16 names");
    cr_assert_eq(config.auth_audience.count, 0);
}

Test(config_access, origins_have_a_scheme_a_host_and_nothing_behind)
{
    static const char *const good[] = {"*",
                                       "https://example.com",
                                       "http://localhost:3000",
                                       "https://*.example.com",
                                       "http://[::1]",
                                       "http://[::1]:8080",
                                       "capacitor://localhost",
                                       "HTTPS://Example.COM:443"};
    static const char *const bad[] = {"",
                                      "null",
                                      "https://",
                                      "://x",
                                      "https:/x",
                                      "https://x/",
                                      "https://x/y",
                                      "https://x:",
                                      "https://x:0",
                                      "https://x:65536",
                                      "https://x:1x",
                                      "https://*",
                                      "https://*.",
                                      "https://a.*.b",
                                      "https://u@x",
                                      "https://[::1",
                                      "https://x y",
                                      "1http://x",
                                      "https://.x",
                                      "*.example.com"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(ft_origin_is_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(ft_origin_is_valid(bad[i]), "%s", bad[i]);
}

Test(config_access, origins_become_as_browsers_write_them)
{
    static const char *const cases[][2] = {
        {"HTTPS://Example.COM:443", "https://example.com"},
        {"http://a:80", "http://a"},
        {"http://a:8080", "http://a:8080"},
        {"https://a:80", "https://a:80"},
        {"http://[::1]:80", "http://[::1]"},
        {"*", "*"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *normal = ft_origin_normal(cases[i][0]);
        cr_assert_str_eq(normal, cases[i][1]);
        free(normal);
    }
}

/* ---- going over to other settings ---- */

Test(config_access, a_reload_does_not_open_a_broker_that_others_reach)
{
    struct ft_config next;
    bool is_kept[FT_OPTION_ROWS];

    assert_taken("listen=0.0.0.0:1", "auth.secret=x");
    ft_config_init(&next);
    cr_assert_eq(ft_config_finish(&next, &error), 0, "%s", error.text);
    cr_assert_eq(ft_config_keep(&config, &next, is_kept, &error), -1);
    cr_assert(strstr(error.text, "listen = 0.0.0.0:1 serves other machines"), "%s", error.text);
    ft_config_fini(&next);
}

Test(config_access, lists_and_texts_are_adopted_and_secrets_too)
{
    struct ft_config next;
    bool is_kept[FT_OPTION_ROWS], is_new[FT_OPTION_ROWS];

    assert_taken("auth.secret=x", "auth.user_sub=a,b", "auth.issuer=i");
    const char *issuer = config.auth_issuer;
    ft_config_init(&next);
    cr_assert_eq(ft_config_set(&next, "auth.secret=y", &error), 0);
    cr_assert_eq(ft_config_set(&next, "auth.issuer=i", &error), 0);
    cr_assert_eq(ft_config_set(&next, "auth.user_sub=a\\,b", &error), 0);
    cr_assert_eq(ft_config_finish(&next, &error), 0, "%s", error.text);
    cr_assert_eq(ft_config_keep(&config, &next, is_kept, &error), 0, "%s", error.text);
    ft_config_adopt(&config, &next, is_new);
    cr_assert(is_new[FT_ROW_auth_secret] && is_new[FT_ROW_auth_user_sub]);
    cr_assert_not(is_new[FT_ROW_auth_issuer] || is_new[FT_ROW_auth_mode]);
    cr_assert_str_eq(config.auth_secret, "y");
    cr_assert_eq(config.auth_issuer, issuer);
    cr_assert_eq(config.auth_user_sub.count, 1);
    cr_assert_str_eq(config.auth_user_sub.items[0], "a,b");
    ft_config_fini(&next);
}
