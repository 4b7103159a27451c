/*
 * From settings to what decides who may come in: options of the gate, limits, origins and networks.
 * What the settings say together was checked before (config_access.c); here their files are read. Runs
 * at start and at a reload, on the main thread.
 */
#include "broker/app/access.h"

#include "broker/app/origin.h"
#include "broker/auth/tls_files.h"
#include "broker/base/alloc.h"
#include "broker/base/clock.h"

#include <stdlib.h>

static struct ft_auth_texts texts_of(const struct ft_strings *list)
{
    return (struct ft_auth_texts){list->items, list->count};
}

static struct ft_auth_options auth_options(const struct ft_config *config)
{
    bool is_token = config->auth_mode == FT_AUTH_CHOICE_TOKEN;

    return (struct ft_auth_options){
        .mode = is_token ? FT_AUTH_TOKEN : FT_AUTH_NONE,
        .secret = config->auth_secret,
        .key_files = texts_of(&config->auth_keys),
        .issuer = config->auth_issuer,
        .audiences = texts_of(&config->auth_audience),
        .leeway_s = (uint32_t)config->auth_leeway_s,
        .grace_s = (uint32_t)config->auth_grace_s,
        .api_keys = config->auth_api_keys,
        .anonymous_sub = texts_of(&config->auth_anonymous_sub),
        .anonymous_pub = texts_of(&config->auth_anonymous_pub),
        .user_sub = texts_of(&config->auth_user_sub),
        .user_pub = texts_of(&config->auth_user_pub),
    };
}

static struct ft_quota_limits limits_of(const struct ft_config *config)
{
    struct ft_quota_limits limits = {0};
    uint32_t *held = limits.held[FT_QUOTA_ADDRESS], *rates = limits.rates[FT_QUOTA_ADDRESS];

    held[FT_QUOTA_CONNECTIONS] = (uint32_t)config->limits_address_connections;
    held[FT_QUOTA_SUBSCRIPTIONS] = (uint32_t)config->limits_address_subscriptions;
    rates[FT_QUOTA_CONNECTS] = (uint32_t)config->limits_address_connects;
    rates[FT_QUOTA_PUBLISHES] = (uint32_t)config->limits_address_publishes;
    rates[FT_QUOTA_REQUESTS] = (uint32_t)config->limits_address_requests;
    held = limits.held[FT_QUOTA_USER];
    rates = limits.rates[FT_QUOTA_USER];
    held[FT_QUOTA_CONNECTIONS] = (uint32_t)config->limits_user_connections;
    held[FT_QUOTA_SUBSCRIPTIONS] = (uint32_t)config->limits_user_subscriptions;
    rates[FT_QUOTA_PUBLISHES] = (uint32_t)config->limits_user_publishes;
    rates[FT_QUOTA_REQUESTS] = (uint32_t)config->limits_user_requests;
    return limits;
}

/* Looks at the files of TLS, also where no listener uses them yet. */
static int check_tls(const struct ft_config *config, struct ft_config_error *error)
{
    char warning[FT_TLS_WARNING_MAX], value[2 * FT_TLS_WARNING_MAX];
    struct ft_problem problem;

    if (!config->tls_cert)
        return 0;
    if (ft_tls_files_check(config->tls_cert, config->tls_key, ft_clock_wall_ms() / 1000, warning,
                           &problem) != FT_OK)
        return ft_config_fail(error, "%s", problem.text);
    if (warning[0])
        ft_log(FT_LOG_WARN, "tls_files", "warning=%s", ft_log_value(warning, value, sizeof(value)));
    return 0;
}

int ft_access_open(struct ft_access *access, const struct ft_config *config,
                   struct ft_config_error *error)
{
    struct ft_auth_options options = auth_options(config);
    struct ft_quota_limits limits = limits_of(config);
    struct ft_problem problem;

    if (check_tls(config, error) != 0)
        return -1;
    if (ft_auth_new(&options, &access->auth, &problem) != FT_OK)
        return ft_config_fail(error, "%s", problem.text);
    access->quotas = ft_quotas_new(&limits);
    return 0;
}

void ft_access_close(struct ft_access *access)
{
    ft_auth_free(access->auth);
    ft_quotas_free(access->quotas);
    *access = (struct ft_access){0};
}

int ft_access_configure(struct ft_access *access, const struct ft_config *config,
                        struct ft_config_error *error)
{
    struct ft_auth_options options = auth_options(config);
    struct ft_quota_limits limits = limits_of(config);
    struct ft_problem problem;

    if (check_tls(config, error) != 0)
        return -1;
    if (ft_auth_configure(access->auth, &options, &problem) != FT_OK)
        return ft_config_fail(error, "%s", problem.text);
    ft_quotas_configure(access->quotas, &limits);
    return 0;
}

void ft_access_log(const struct ft_config *config)
{
    bool is_token = config->auth_mode == FT_AUTH_CHOICE_TOKEN;
    bool has_anonymous = config->auth_anonymous_sub.count + config->auth_anonymous_pub.count > 0;

    if (is_token)
        ft_log(FT_LOG_INFO, "auth", "mode=token secret=%s keys=%zu api_keys=%s anonymous=%s",
               config->auth_secret ? "yes" : "no", config->auth_keys.count,
               config->auth_api_keys ? "yes" : "no", has_anonymous ? "yes" : "no");
    else
        ft_log(FT_LOG_INFO, "auth", "mode=none local_only=%s",
               config->auth_mode == FT_AUTH_CHOICE_UNSET ? "yes" : "no");
    if (!is_token && (config->auth_secret || config->auth_api_keys || config->auth_keys.count > 0))
        ft_log(FT_LOG_WARN, "auth_open",
               "note=\"auth.mode = none lets everybody do everything; keys only tell who it is\"");
}

static struct ft_network *networks_of(const struct ft_strings *list)
{
    struct ft_network *networks = ft_alloc_zero((list->count + 1) * sizeof(*networks));

    for (size_t i = 0; i < list->count; i++)
        FT_ASSERT(ft_network_read(ft_slice_str(list->items[i]), &networks[i]));
    return networks;
}

struct ft_http_options *ft_access_http(const struct ft_config *config)
{
    size_t origin_count = config->http_origins.count;
    char **origins = ft_alloc_zero((origin_count + 1) * sizeof(*origins));
    struct ft_network *trusted = networks_of(&config->http_trusted_proxies);

    for (size_t i = 0; i < origin_count; i++)
        origins[i] = ft_origin_normal(config->http_origins.items[i]);
    struct ft_http_options *options = ft_http_options_copy(&(struct ft_http_options){
        .ws_path = config->http_path,
        .cookie = config->auth_cookie,
        .body_bytes = config->http_body,
        .header_timeout_s = (uint32_t)config->http_header_timeout_s,
        .body_timeout_s = (uint32_t)config->http_body_timeout_s,
        .origins = origins,
        .origin_count = origin_count,
        .allow_no_origin = config->http_allow_no_origin,
        .trusted = trusted,
        .trusted_count = config->http_trusted_proxies.count,
        .metrics_admin = config->http_metrics_admin,
        .console = config->http_console,
    });
    for (size_t i = 0; i < origin_count; i++)
        free(origins[i]);
    free(origins);
    free(trusted);
    return options;
}
