/* What decides who may come in, made of settings and of the files that they name. */
#include "broker/app/access.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

static struct ft_config config;
static struct ft_config_error error;
static struct ft_access access_;

static void set(const char *assignment)
{
    cr_assert_eq(ft_config_set(&config, assignment, &error), 0, "%s", error.text);
}

static void begin(void)
{
    ft_log_set_level(FT_LOG_ERROR);
    ft_config_init(&config);
}

static void end(void)
{
    ft_config_fini(&config);
}

TestSuite(access, .init = begin, .fini = end);

static void open_it(void)
{
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
    cr_assert_eq(ft_access_open(&access_, &config, &error), 0, "%s", error.text);
}

static struct ft_identity *anonymous(bool is_local)
{
    return ft_auth_gate_ops()->anonymous(access_.auth, is_local);
}

Test(access, without_auth_everybody_may_everything)
{
    open_it();
    struct ft_identity *local = anonymous(true), *other = anonymous(false);

    cr_assert(ft_identity_is_admin(local) && !ft_identity_is_admin(other));
    cr_assert(ft_identity_may_pub(other, ft_slice_str("a/b")));
    ft_identity_unref(local);
    ft_identity_unref(other);
    ft_access_close(&access_);
}

Test(access, with_keys_nobody_gets_in_without_a_token)
{
    set("auth.secret=0123456789abcdef0123456789abcdef");
    open_it();
    cr_assert_null(anonymous(true));
    cr_assert_eq(ft_auth_gate_ops()->grace_ms(access_.auth), 30000);
    ft_access_close(&access_);
}

Test(access, rights_of_the_anonymous_are_the_filters_of_the_settings)
{
    set("auth.anonymous_sub=news/#,a\\,b");
    set("auth.anonymous_pub=guestbook");
    open_it();
    struct ft_identity *who = anonymous(true);

    cr_assert(ft_identity_may_sub(who, ft_slice_str("news/+")));
    cr_assert(ft_identity_may_sub(who, ft_slice_str("a,b")));
    cr_assert_not(ft_identity_may_sub(who, ft_slice_str("a")));
    cr_assert(ft_identity_may_pub(who, ft_slice_str("guestbook")));
    cr_assert_not(ft_identity_may_pub(who, ft_slice_str("news/a")));
    cr_assert_not(ft_identity_is_admin(who));
    ft_identity_unref(who);
    ft_access_close(&access_);
}

Test(access, a_file_that_cannot_be_read_is_named_with_its_setting)
{
    set("auth.keys=/nonexistent/keys.pem");
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
    cr_assert_eq(ft_access_open(&access_, &config, &error), -1);
    cr_assert_eq(strstr(error.text, "auth.keys: \"/nonexistent/keys.pem\""), error.text, "%s",
                 error.text);
    ft_config_fini(&config);
    ft_config_init(&config);
    set("tls.cert=/nonexistent/cert.pem");
    set("tls.key=/nonexistent/key.pem");
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
    cr_assert_eq(ft_access_open(&access_, &config, &error), -1);
    cr_assert_eq(strstr(error.text, "tls.cert: \"/nonexistent/cert.pem\""), error.text, "%s",
                 error.text);
}

Test(access, a_reload_is_all_or_nothing)
{
    struct ft_config next;

    set("auth.secret=0123456789abcdef0123456789abcdef");
    set("limits.user_connections=1");
    open_it();
    ft_config_init(&next);
    cr_assert_eq(ft_config_set(&next, "auth.keys=/nonexistent", &error), 0);
    cr_assert_eq(ft_config_set(&next, "auth.anonymous_sub=a", &error), 0);
    cr_assert_eq(ft_config_set(&next, "limits.user_connections=2", &error), 0);
    cr_assert_eq(ft_config_finish(&next, &error), 0, "%s", error.text);
    cr_assert_eq(ft_access_configure(&access_, &next, &error), -1);
    cr_assert_null(anonymous(true));
    struct ft_quota_share *share =
        ft_quota_share(access_.quotas, FT_QUOTA_USER, ft_slice_str("alice"));
    cr_assert_eq(ft_quota_take(share, FT_QUOTA_CONNECTIONS, 2, NULL), FT_ERR_TOO_MANY);

    ft_config_fini(&next);
    ft_config_init(&next);
    cr_assert_eq(ft_config_set(&next, "auth.anonymous_sub=a", &error), 0);
    cr_assert_eq(ft_config_set(&next, "limits.user_connections=2", &error), 0);
    cr_assert_eq(ft_config_finish(&next, &error), 0, "%s", error.text);
    cr_assert_eq(ft_access_configure(&access_, &next, &error), 0, "%s", error.text);
    struct ft_identity *who = anonymous(true);
    cr_assert_not_null(who);
    ft_identity_unref(who);
    cr_assert_eq(ft_quota_take(share, FT_QUOTA_CONNECTIONS, 2, NULL), FT_OK);
    ft_quota_give(share, FT_QUOTA_CONNECTIONS, 2);
    ft_quota_release(share);
    ft_config_fini(&next);
    ft_access_close(&access_);
}

Test(access, every_limit_is_the_one_of_its_name)
{
    for (int kind = 0; kind < FT_QUOTA_KINDS; kind++) {
        for (int what = 0; what < FT_QUOTA_HELD + FT_QUOTA_RATES; what++) {
            const char *name = what < FT_QUOTA_HELD
                                   ? ft_quota_held_option(kind, what)
                                   : ft_quota_rate_option(kind, what - FT_QUOTA_HELD);
            char assignment[64];
            uint32_t retry_ms;
            if (!name)
                continue;
            end();
            begin();
            snprintf(assignment, sizeof(assignment), "%s=1", name);
            set(assignment);
            open_it();
            struct ft_quota_share *share =
                ft_quota_share(access_.quotas, kind, ft_slice_str("0123456789abcdef"));
            enum ft_err err = FT_OK;
            for (int i = 0; i < 2; i++)
                err = what < FT_QUOTA_HELD
                          ? ft_quota_take(share, what, 1, NULL)
                          : ft_quota_pass(share, what - FT_QUOTA_HELD, 1, &retry_ms, NULL);
            cr_assert_eq(err, FT_ERR_TOO_MANY, "%s", name);
            if (what < FT_QUOTA_HELD)
                ft_quota_give(share, what, 1);
            ft_quota_release(share);
            ft_access_close(&access_);
        }
    }
}

Test(access, http_goes_by_the_settings)
{
    set("http.origins=HTTPS://A.example:443,*");
    set("http.trusted_proxies=10.0.0.0/8,2001:db8::1");
    set("http.allow_no_origin=no");
    set("http.body=1m");
    set("http.console=no");
    set("auth.cookie=c");
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
    struct ft_http_options *options = ft_access_http(&config);

    cr_assert_eq(options->origin_count, 2);
    cr_assert_str_eq(options->origins[0], "https://a.example");
    cr_assert_eq(options->trusted_count, 2);
    cr_assert_eq(options->trusted[0].bits, 104);
    cr_assert_eq(options->trusted[1].bits, 128);
    cr_assert_not(options->allow_no_origin);
    cr_assert_eq(options->body_bytes, 1 << 20);
    cr_assert_eq(options->body_timeout_s, 30);
    cr_assert_str_eq(options->cookie, "c");
    cr_assert_str_eq(options->ws_path, "/ws");
    cr_assert_not(options->metrics_admin);
    cr_assert_not(options->console);
    ft_http_options_free(options);
}
