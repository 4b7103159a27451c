/*
 * Who may come in, and where: checks listeners, auth.* and tls.* against each other. Safe unless the
 * operator says otherwise: without a word about auth only loopback is served. It reads none of the
 * files that settings name (access.c). Runs at start and at a reload, on the main thread.
 */
#include "broker/app/address.h"
#include "broker/app/config.h"

#include "protocol/quote.h"

#include <string.h>

/* The settings that are lists of listeners. */
static const struct {
    enum ft_option_row row;
    bool is_tls;
} listeners[] = {{FT_ROW_listen, false},
                 {FT_ROW_http_proxy_listen, false},
                 {FT_ROW_tls_listen, true},
                 {FT_ROW_tls_proxy_listen, true}};

#define LISTENERS (sizeof(listeners) / sizeof(listeners[0]))

/* What makes tokens worth something: keys to check them with, or rights for who comes without one. */
static const enum ft_option_row grounds[] = {FT_ROW_auth_secret, FT_ROW_auth_keys,
                                             FT_ROW_auth_api_keys, FT_ROW_auth_anonymous_sub,
                                             FT_ROW_auth_anonymous_pub};

/* What says more about tokens, and nothing without them. */
static const enum ft_option_row details[] = {FT_ROW_auth_issuer, FT_ROW_auth_audience,
                                             FT_ROW_auth_user_sub, FT_ROW_auth_user_pub};

#define COUNT(rows) (sizeof(rows) / sizeof(rows[0]))

static const struct ft_strings *list_of(const struct ft_config *config, enum ft_option_row row)
{
    return ft_config_field(config, &ft_options[row]);
}

static bool is_set(const struct ft_config *config, enum ft_option_row row)
{
    const struct ft_option *option = &ft_options[row];

    if (ft_option_is_list(option))
        return list_of(config, row)->count > 0;
    return *(char *const *)ft_config_field(config, option) != NULL;
}

/* Returns the first row that is set, or FT_OPTION_ROWS. */
static enum ft_option_row first_set(const struct ft_config *config, const enum ft_option_row *rows,
                                    size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_set(config, rows[i]))
            return rows[i];
    return FT_OPTION_ROWS;
}

/* Where the row was set, to begin an error with. */
static const char *where(const struct ft_config *config, enum ft_option_row row)
{
    return config->where_[row] ? config->where_[row] : "defaults";
}

void ft_config_settle_access(struct ft_config *config)
{
    if (config->auth_mode == FT_AUTH_CHOICE_UNSET &&
        first_set(config, grounds, COUNT(grounds)) != FT_OPTION_ROWS)
        config->auth_mode = FT_AUTH_CHOICE_TOKEN;
}

static int check_auth(const struct ft_config *config, struct ft_config_error *error)
{
    enum ft_option_row detail = first_set(config, details, COUNT(details));
    char name[FT_OPTION_NAME_MAX];

    if (config->auth_mode == FT_AUTH_CHOICE_TOKEN) {
        if (first_set(config, grounds, COUNT(grounds)) != FT_OPTION_ROWS)
            return 0;
        return ft_config_fail(error,
                              "%s: auth.mode = token needs auth.secret, auth.keys or auth.api_keys "
                              "to check tokens with",
                              where(config, FT_ROW_auth_mode));
    }
    if (config->auth_mode == FT_AUTH_CHOICE_NONE || detail == FT_OPTION_ROWS)
        return 0;
    return ft_config_fail(error,
                          "%s: %s is about tokens, but there is nothing to check them with: set "
                          "auth.secret, auth.keys or auth.api_keys too",
                          where(config, detail), ft_option_name(&ft_options[detail], name));
}

/* Fails where others than this machine are served, and nobody said that this is meant. */
static int check_is_local(const struct ft_config *config, enum ft_option_row row, const char *text,
                          struct ft_config_error *error)
{
    struct ft_address address;
    char name[FT_OPTION_NAME_MAX];

    if (config->auth_mode != FT_AUTH_CHOICE_UNSET ||
        (ft_address_parse(text, &address) && ft_address_is_loopback(&address)))
        return 0;
    return ft_config_fail(error,
                          "%s: %s = %s serves other machines, and auth is not configured: set "
                          "auth.mode = token with auth.secret, auth.keys or auth.api_keys, or "
                          "auth.mode = none to let everybody in",
                          where(config, row), ft_option_name(&ft_options[row], name), text);
}

/* Fails where an address (but for port 0) is also among the lists before this one. */
static int check_is_only(const struct ft_config *config, size_t list, const char *text,
                         struct ft_config_error *error)
{
    enum ft_option_row row = listeners[list].row;
    struct ft_address address;
    char name[FT_OPTION_NAME_MAX], other_name[FT_OPTION_NAME_MAX];

    if (ft_address_parse(text, &address) && address.port == 0)
        return 0;
    for (size_t i = 0; i < list; i++) {
        const struct ft_strings *other = list_of(config, listeners[i].row);
        for (size_t k = 0; k < other->count; k++)
            if (strcmp(other->items[k], text) == 0)
                return ft_config_fail(
                    error, "%s: %s = %s is in %s already; each needs a port of its own",
                    where(config, row), ft_option_name(&ft_options[row], name), text,
                    ft_option_name(&ft_options[listeners[i].row], other_name));
    }
    return 0;
}

static int check_listeners(const struct ft_config *config, struct ft_config_error *error)
{
    size_t all = 0;

    for (size_t i = 0; i < LISTENERS; i++) {
        const struct ft_strings *list = list_of(config, listeners[i].row);
        for (size_t k = 0; k < list->count; k++, all++)
            if (check_is_local(config, listeners[i].row, list->items[k], error) != 0 ||
                check_is_only(config, i, list->items[k], error) != 0)
                return -1;
    }
    if (all > 0)
        return 0;
    return ft_config_fail(error,
                          "%s: listen = none leaves nothing to serve at; set tls.listen, "
                          "http.proxy_listen or tls.proxy_listen",
                          where(config, FT_ROW_listen));
}

static int check_tls(const struct ft_config *config, struct ft_config_error *error)
{
    bool has_cert = is_set(config, FT_ROW_tls_cert), has_key = is_set(config, FT_ROW_tls_key);
    char name[FT_OPTION_NAME_MAX];

    if (has_cert != has_key)
        return ft_config_fail(error, "%s: tls.cert and tls.key go together, tls.%s is missing",
                              where(config, has_cert ? FT_ROW_tls_cert : FT_ROW_tls_key),
                              has_cert ? "key" : "cert");
    for (size_t i = 0; i < LISTENERS && !has_cert; i++) {
        enum ft_option_row row = listeners[i].row;
        if (listeners[i].is_tls && is_set(config, row))
            return ft_config_fail(error, "%s: %s needs tls.cert and tls.key", where(config, row),
                                  ft_option_name(&ft_options[row], name));
    }
    return 0;
}

int ft_config_check_access(const struct ft_config *config, struct ft_config_error *error)
{
    if (check_auth(config, error) != 0 || check_tls(config, error) != 0)
        return -1;
    return check_listeners(config, error);
}
