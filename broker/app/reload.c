/*
 * Reloading: reads all sources again, keeps what only a restart can change, and tells gate, hub and
 * loops the rest. A configuration that is wrong, by itself, beside what is kept or in the files that it
 * names, changes nothing. The strings of the config that the broker started with stay where they are, because hub and loops
 * were lent some. Runs on the main thread.
 */
#include "broker/app/reload.h"

#include "broker/base/log.h"

/* An error, each of its bytes escaped at worst by one more. */
#define ERROR_VALUE_MAX (2 * FT_CONFIG_ERROR_MAX)

struct ft_hub_options ft_reload_hub_options(struct ft_config *config)
{
    struct ft_hub_options options = {
        .node = config->node,
        .message_bytes = config->limits_message,
        .topics = (uint32_t)config->limits_topics,
        .queue_bytes = config->limits_queue,
        .flush_bytes = config->limits_flush,
        .ping_s = (uint32_t)config->limits_ping_s,
        .write_timeout_s = (uint32_t)config->limits_write_timeout_s,
        .relay_deadline_ms = (uint32_t)config->relay_deadline_ms,
        .policies = config->policies,
        .http = ft_access_http(config),
        .free_http = ft_http_options_free,
    };
    config->policies = NULL;
    return options;
}

static void log_row(enum ft_log_level level, const char *event, const char *what,
                    const struct ft_config *config, size_t row)
{
    char name[FT_OPTION_NAME_MAX], text[FT_OPTION_VALUE_MAX], value[FT_OPTION_VALUE_MAX];
    const struct ft_option *option = &ft_options[row];

    ft_option_show(option, ft_config_field(config, option), text, sizeof(text));
    ft_log(level, event, "setting=%s %s=%s", ft_option_name(option, name), what,
           ft_log_value(text, value, sizeof(value)));
}

/* Says what became of it, on the level that says more, of the old and the new one. */
static void report(const struct ft_config *config, const struct ft_config *next,
                   const bool is_kept[FT_OPTION_ROWS], const bool is_new[FT_OPTION_ROWS])
{
    char file[FT_CONFIG_ERROR_MAX];

    for (size_t i = 0; i < FT_OPTION_ROWS; i++) {
        if (is_new[i])
            log_row(FT_LOG_INFO, "setting_changed", "value", config, i);
        if (is_kept[i])
            log_row(FT_LOG_WARN, "restart_needed", "running", config, i);
    }
    if (next->file)
        ft_log(FT_LOG_INFO, "reloaded", "file=%s sections=%zu",
               ft_log_value(next->file, file, sizeof(file)), next->topic_count);
    else
        ft_log(FT_LOG_INFO, "reloaded",
               "file=none note=\"only -c FILE brings settings that can have changed\"");
}

static void adopt(const struct ft_reload *reload, struct ft_config *next,
                  bool is_kept[FT_OPTION_ROWS])
{
    struct ft_config *config = reload->config;
    bool is_new[FT_OPTION_ROWS];

    if (next->log_level > config->log_level)
        ft_log_set_level(next->log_level);
    if (!ft_loops_configure(reload->loops, next->limits_connections,
                            (uint32_t)next->shutdown_timeout_ms)) {
        next->limits_connections = config->limits_connections;
        is_kept[FT_ROW_limits_connections] = true;
    }
    ft_config_adopt(config, next, is_new);
    struct ft_hub_options options = ft_reload_hub_options(next);
    options.node = config->node;
    ft_hub_configure(reload->hub, &options);
    report(config, next, is_kept, is_new);
    ft_access_log(config);
    ft_log_set_level(config->log_level);
}

/* Has the loops take the files of TLS up again. Returns 0; or -1 and `error`. */
static int reload_tls(const struct ft_reload *reload, const struct ft_config *next,
                      struct ft_config_error *error)
{
    char why[FT_LOOPS_ERROR_MAX];

    if (next->tls_listen.count + next->tls_proxy_listen.count == 0 ||
        ft_loops_reload_tls(reload->loops, next->tls_cert, next->tls_key, why))
        return 0;
    return ft_config_fail(error, "%s", why);
}

/* Goes over to the files that `next` names, all of them or none. */
static int take_files(const struct ft_reload *reload, const struct ft_config *next,
                      struct ft_config_error *error)
{
    struct ft_config_error ignored;

    if (ft_access_configure(reload->access, next, error) != 0)
        return -1;
    if (reload_tls(reload, next, error) == 0)
        return 0;
    /* Back: these could be read before. If they cannot now, the new ones are as good as any. */
    if (ft_access_configure(reload->access, reload->config, &ignored) != 0)
        ft_log(FT_LOG_WARN, "keys_changed", "note=\"the old ones cannot be read any more\"");
    return -1;
}

bool ft_reload(const struct ft_reload *reload)
{
    struct ft_config next;
    struct ft_config_error error;
    bool is_kept[FT_OPTION_ROWS];
    char value[ERROR_VALUE_MAX];

    int status = ft_cli_read_again(reload->cli, &next, &error);
    if (status == 0) {
        status = ft_config_keep(reload->config, &next, is_kept, &error);
        if (status == 0)
            status = take_files(reload, &next, &error);
        if (status == 0)
            adopt(reload, &next, is_kept);
        ft_config_fini(&next);
    }
    if (status != 0)
        ft_log(FT_LOG_ERROR, "config_refused", "error=%s",
               ft_log_value(error.text, value, sizeof(value)));
    return status == 0;
}
