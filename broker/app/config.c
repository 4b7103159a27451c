/*
 * Holds the settings: defaults, one setting at a time from any source, the checks of settings
 * against each other, and going over from one set to the next. It does not know files
 * (config_file.c), the environment (config_env.c) or what sections of topics hold (config_topic.c).
 * Runs at start and at a reload, on the main thread.
 */
#include "broker/app/config.h"

#include "broker/base/alloc.h"
#include "broker/relay/relay.h"
#include "protocol/quote.h"

#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int ft_config_fail(struct ft_config_error *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return -1;
}

static void *field_of(struct ft_config *config, const struct ft_option *option)
{
    return (char *)config + option->offset;
}

const void *ft_config_field(const struct ft_config *config, const struct ft_option *option)
{
    return (const char *)config + option->offset;
}

/* The host name, with what a node's name cannot hold made into dashes. */
static char *default_node(const struct ft_option *option)
{
    char host[65] = "";
    char *node = NULL;

    if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == 0)
        snprintf(host, sizeof(host), "fantail");
    for (char *at = host; *at; at++) {
        char letter[2] = {*at, 0};
        if (!ft_option_parse(option, letter, &node))
            *at = '-';
    }
    free(node);
    return ft_strdup(host);
}

void ft_config_init(struct ft_config *config)
{
    *config = (struct ft_config){0};
    for (size_t i = 0; i < ft_option_count; i++) {
        const struct ft_option *option = &ft_options[i];
        if (option->initial[0])
            FT_ASSERT(ft_option_parse(option, option->initial, field_of(config, option)));
    }
    config->node = default_node(&ft_options[FT_ROW_node]);
}

void ft_config_fini(struct ft_config *config)
{
    for (size_t i = 0; i < ft_option_count; i++) {
        ft_option_clear(&ft_options[i], field_of(config, &ft_options[i]));
        free(config->where_[i]);
        config->where_[i] = NULL;
    }
    free(config->file);
    config->file = NULL;
    ft_config_free_topics(config);
    ft_policies_free(config->policies);
    config->policies = NULL;
}

static int fail_unknown(const struct ft_setting *setting, struct ft_config_error *error)
{
    const struct ft_option *near = ft_option_nearest(setting->name);
    char name[FT_OPTION_NAME_MAX], quoted[FT_QUOTE_MAX];

    ft_quote(ft_slice_str(setting->name), quoted);
    if (near)
        return ft_config_fail(error, "%s: there is no setting %s; did you mean %s?", setting->where,
                              quoted, ft_option_name(near, name));
    return ft_config_fail(error, "%s: there is no setting %s; fantaild --help lists them",
                          setting->where, quoted);
}

static int fail_value(const struct ft_setting *setting, const struct ft_option *option,
                      struct ft_config_error *error)
{
    char quoted[FT_QUOTE_MAX], expected[FT_CONFIG_ERROR_MAX / 2], why[FT_CONFIG_ERROR_MAX / 2];

    ft_option_expects(option, expected, sizeof(expected));
    ft_option_explain(option, setting->value, why, sizeof(why));
    if (ft_option_is_secret(option))
        return ft_config_fail(error, "%s: %s must be %s%s", setting->where, setting->name, expected,
                              why);
    return ft_config_fail(error, "%s: %s = %s must be %s%s", setting->where, setting->name,
                          ft_quote(ft_slice_str(setting->value), quoted), expected, why);
}

int ft_config_apply(struct ft_config *config, const struct ft_setting *setting,
                    struct ft_config_error *error)
{
    const struct ft_option *option = ft_option_find(setting->name);

    if (!option)
        return fail_unknown(setting, error);
    size_t row = (size_t)(option - ft_options);
    bool is_again = config->source_[row] == setting->source;
    bool is_list = ft_option_is_list(option);
    if (is_again && !is_list)
        return ft_config_fail(error, "%s: %s is set twice, first by %s; keep one", setting->where,
                              setting->name, config->where_[row]);
    if (!is_again && is_list)
        ft_option_clear(option, field_of(config, option));
    if (!ft_option_parse(option, setting->value, field_of(config, option)))
        return fail_value(setting, option, error);
    config->source_[row] = setting->source;
    free(config->where_[row]);
    config->where_[row] = ft_strdup(setting->where);
    return 0;
}

/* Cuts white space off both ends of `text`, in place. */
static char *trim(char *text)
{
    static const char blanks[] = " \t";
    size_t len;

    text += strspn(text, blanks);
    len = strlen(text);
    while (len > 0 && strchr(blanks, text[len - 1]))
        text[--len] = 0;
    return text;
}

int ft_config_set(struct ft_config *config, const char *assignment, struct ft_config_error *error)
{
    char quoted[FT_QUOTE_MAX];
    char *copy = ft_strdup(assignment);
    char *equals = strchr(copy, '=');
    int result;

    if (!equals) {
        result = ft_config_fail(error, "--set: %s must be NAME=VALUE, such as limits.message=64k",
                                ft_quote(ft_slice_str(assignment), quoted));
    } else {
        *equals = 0;
        struct ft_setting setting = {.source = FT_SOURCE_COMMAND,
                                     .where = "--set",
                                     .name = trim(copy),
                                     .value = trim(equals + 1)};
        result = ft_config_apply(config, &setting, error);
    }
    free(copy);
    return result;
}

static uint64_t usable_cores(uint64_t max)
{
    cpu_set_t set;
    uint64_t cores = 1;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        cores = (uint64_t)CPU_COUNT(&set);
    return cores > max ? max : cores;
}

/* Fails unless `row` is at least `factor` times `other`; both are numbers of bytes. */
static int check_at_least(const struct ft_config *config, enum ft_option_row row, uint64_t factor,
                          enum ft_option_row other, struct ft_config_error *error)
{
    const struct ft_option *option = &ft_options[row], *bound = &ft_options[other];
    uint64_t value = *(const uint64_t *)ft_config_field(config, option);
    uint64_t least = factor * *(const uint64_t *)ft_config_field(config, bound);
    const char *where = config->where_[row] ? config->where_[row] : config->where_[other];
    char name[FT_OPTION_NAME_MAX], bound_name[FT_OPTION_NAME_MAX], times[32] = "";
    char shown[32], needed[32];

    if (value >= least)
        return 0;
    if (factor > 1)
        snprintf(times, sizeof(times), "%u times ", (unsigned)factor);
    return ft_config_fail(error, "%s: %s = %s must be at least %s, that is %s%s",
                          where ? where : "defaults", ft_option_name(option, name),
                          ft_option_show(option, &value, shown, sizeof(shown)),
                          ft_option_show(option, &least, needed, sizeof(needed)), times,
                          ft_option_name(bound, bound_name));
}

/* Channels have no databases, so their names say which one it is: the same for all. */
static int check_databases(const struct ft_config *config, struct ft_config_error *error)
{
    char *const *urls = config->redis_url.items;
    const char *where = config->where_[FT_ROW_redis_url];

    for (size_t i = 1; i < config->redis_url.count; i++)
        if (ft_redis_url_database(urls[i]) != ft_redis_url_database(urls[0]))
            return ft_config_fail(error, "%s: redis.url: all have to name the same database",
                                  where ? where : "defaults");
    return 0;
}

/* Checks the settings against each other. */
static int check(const struct ft_config *config, struct ft_config_error *error)
{
    /* A queue that cannot hold the largest message would be full with every one of them. */
    if (check_at_least(config, FT_ROW_limits_queue, 1, FT_ROW_limits_message, error) != 0)
        return -1;
    if (check_at_least(config, FT_ROW_limits_queue, 1, FT_ROW_limits_flush, error) != 0)
        return -1;
    /* A last value that is the largest message must find room. */
    if (check_at_least(config, FT_ROW_journal_kept, 1, FT_ROW_limits_message, error) != 0)
        return -1;
    /* Fewer than a handful of the largest, and the journal forgets before a worker has read. */
    if (check_at_least(config, FT_ROW_journal_size, 4, FT_ROW_limits_message, error) != 0)
        return -1;
    if (config->redis_url.count > 0 &&
        check_at_least(config, FT_ROW_relay_queue, 4, FT_ROW_limits_message, error) != 0)
        return -1;
    if (check_databases(config, error) != 0)
        return -1;
    return ft_config_check_access(config, error);
}

int ft_config_finish(struct ft_config *config, struct ft_config_error *error)
{
    if (config->workers == 0)
        config->workers = usable_cores(ft_options[FT_ROW_workers].max);
    ft_config_settle_access(config);
    if (check(config, error) != 0)
        return -1;
    return ft_config_settle_topics(config, error);
}

/* Makes a field of `to` what it is in `from`. Returns whether it was something else. */
static bool copy_row(size_t row, const struct ft_config *from, struct ft_config *to)
{
    const struct ft_option *option = &ft_options[row];

    return ft_option_copy(option, ft_config_field(from, option), field_of(to, option));
}

int ft_config_keep(const struct ft_config *config, struct ft_config *next,
                   bool is_kept[FT_OPTION_ROWS], struct ft_config_error *error)
{
    for (size_t i = 0; i < FT_OPTION_ROWS; i++)
        is_kept[i] = !ft_options[i].is_reloadable && copy_row(i, config, next);
    return check(next, error);
}

void ft_config_adopt(struct ft_config *config, const struct ft_config *next,
                     bool is_new[FT_OPTION_ROWS])
{
    for (size_t i = 0; i < FT_OPTION_ROWS; i++)
        is_new[i] = ft_options[i].is_reloadable && copy_row(i, next, config);
}
