/*
 * The sections [topic "FILTER"]: takes them in one setting at a time, checks what they say
 * together, and makes policies of them. It does not read lines (config_file.c) and does not decide
 * which filter wins (broker/core/policy.c). Runs at start and at a reload, on the main thread.
 */
#include "broker/app/config.h"

#include "broker/base/alloc.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

#include <stdlib.h>
#include <string.h>

/* As text that ends with a NUL; a valid filter holds none. */
static char *copy_filter(struct ft_slice filter)
{
    char *copy = ft_alloc(filter.len + 1);

    memcpy(copy, filter.ptr, filter.len);
    copy[filter.len] = 0;
    return copy;
}

static void *field_of(struct ft_topic_section *section, const struct ft_option *option)
{
    return (char *)&section->settings + option->offset;
}

static struct ft_topic_section *find_section(const struct ft_config *config, struct ft_slice filter)
{
    for (size_t i = 0; i < config->topic_count; i++)
        if (ft_slice_equal(ft_slice_str(config->topics[i].filter), filter))
            return &config->topics[i];
    return NULL;
}

int ft_config_begin_topic(struct ft_config *config, const char *where, struct ft_slice filter,
                          struct ft_config_error *error)
{
    struct ft_problem problem;
    char quoted[FT_QUOTE_MAX];
    const struct ft_topic_section *twin = find_section(config, filter);

    if (ft_filter_check(filter, &problem) != FT_OK)
        return ft_config_fail(error, "%s: %s", where, problem.text);
    ft_quote(filter, quoted);
    if (ft_topic_is_reserved(filter))
        return ft_config_fail(error,
                              "%s: filter %s begins with '$'; such topics are the broker's own, "
                              "no section is about them",
                              where, quoted);
    if (twin)
        return ft_config_fail(error, "%s: filter %s has a section already, %s; keep one", where,
                              quoted, twin->where);
    if (config->topic_count == FT_POLICIES_MAX)
        return ft_config_fail(error, "%s: filter %s is one too many, at most %d sections are taken",
                              where, quoted, FT_POLICIES_MAX);
    if (config->topic_count == config->topic_cap_) {
        config->topic_cap_ = config->topic_cap_ * 2 + 8;
        config->topics = ft_realloc(config->topics, config->topic_cap_ * sizeof(*config->topics));
    }
    struct ft_topic_section *section = &config->topics[config->topic_count++];
    *section = (struct ft_topic_section){.filter = copy_filter(filter), .where = ft_strdup(where)};
    for (size_t i = 0; i < ft_topic_option_count; i++)
        FT_ASSERT(ft_option_parse(&ft_topic_options[i], ft_topic_options[i].initial,
                                  field_of(section, &ft_topic_options[i])));
    return 0;
}

static int fail_unknown(const struct ft_setting *setting, struct ft_config_error *error)
{
    const struct ft_option *near = ft_topic_option_nearest(setting->name);
    char quoted[FT_QUOTE_MAX], names[FT_CONFIG_ERROR_MAX / 4];
    size_t used = 0;

    ft_quote(ft_slice_str(setting->name), quoted);
    if (near)
        return ft_config_fail(error, "%s: topics have no setting %s; did you mean %s?",
                              setting->where, quoted, near->name);
    for (size_t i = 0; i < ft_topic_option_count && used < sizeof(names); i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "",
                                 ft_topic_options[i].name);
    return ft_config_fail(error, "%s: topics have no setting %s; there are %s", setting->where,
                          quoted, names);
}

/* Fails when what is never kept shall be kept too. `where` is the setting that completed it. */
static int check_ephemeral(const struct ft_topic_section *section, const char *where,
                           struct ft_config_error *error)
{
    const struct ft_topic_settings *settings = &section->settings;
    char quoted[FT_QUOTE_MAX];

    if (!settings->ephemeral || (!settings->retain && settings->history == 0))
        return 0;
    return ft_config_fail(error,
                          "%s: topics %s are ephemeral = yes, so nothing is kept of them, and %s; "
                          "drop one of the two",
                          where, ft_quote(ft_slice_str(section->filter), quoted),
                          settings->retain ? "retain = yes cannot hold" : "history must stay 0");
}

int ft_config_apply_topic(struct ft_config *config, const struct ft_setting *setting,
                          struct ft_config_error *error)
{
    FT_ASSERT(config->topic_count > 0);
    struct ft_topic_section *section = &config->topics[config->topic_count - 1];
    const struct ft_option *option = ft_topic_option_find(setting->name);
    char quoted[FT_QUOTE_MAX], expected[FT_CONFIG_ERROR_MAX / 2];

    if (!option)
        return fail_unknown(setting, error);
    char **where = &section->where_[option - ft_topic_options];
    if (*where)
        return ft_config_fail(error, "%s: %s is set twice for topics %s, first by %s; keep one",
                              setting->where, setting->name,
                              ft_quote(ft_slice_str(section->filter), quoted), *where);
    if (!ft_option_parse(option, setting->value, field_of(section, option)))
        return ft_config_fail(error, "%s: %s = %s must be %s", setting->where, setting->name,
                              ft_quote(ft_slice_str(setting->value), quoted),
                              ft_option_expects(option, expected, sizeof(expected)));
    *where = ft_strdup(setting->where);
    return check_ephemeral(section, setting->where, error);
}

static struct ft_policy policy_of(const struct ft_topic_settings *settings)
{
    return (struct ft_policy){
        .max_message = settings->max_message,
        .history = (uint32_t)settings->history,
        .ttl_s = (uint32_t)settings->ttl_s,
        .slow = settings->slow,
        .retain = settings->retain,
        .ephemeral = settings->ephemeral,
        .presence = settings->presence,
    };
}

/* Fails when a publication that the section allows could never arrive. */
static int check_max_message(const struct ft_config *config, const struct ft_topic_section *section,
                             struct ft_config_error *error)
{
    const struct ft_option *option = &ft_topic_options[FT_TOPIC_ROW_max_message];
    uint64_t value = section->settings.max_message;
    char shown[32], bound[32];

    if (value <= config->limits_message)
        return 0;
    return ft_config_fail(error, "%s: max_message = %s must be at most %s, that is limits.message",
                          section->where_[FT_TOPIC_ROW_max_message],
                          ft_option_show(option, &value, shown, sizeof(shown)),
                          ft_option_show(option, &config->limits_message, bound, sizeof(bound)));
}

int ft_config_settle_topics(struct ft_config *config, struct ft_config_error *error)
{
    ft_policies_free(config->policies);
    config->policies = ft_policies_new();
    for (size_t i = 0; i < config->topic_count; i++) {
        const struct ft_topic_section *section = &config->topics[i];
        if (check_max_message(config, section, error) != 0)
            return -1;
        struct ft_policy policy = policy_of(&section->settings);
        FT_ASSERT(ft_policies_add(config->policies, ft_slice_str(section->filter), &policy));
    }
    return 0;
}

void ft_config_free_topics(struct ft_config *config)
{
    for (size_t i = 0; i < config->topic_count; i++) {
        struct ft_topic_section *section = &config->topics[i];
        free(section->filter);
        free(section->where);
        for (size_t row = 0; row < FT_TOPIC_ROWS; row++)
            free(section->where_[row]);
    }
    free(config->topics);
    config->topics = NULL;
    config->topic_count = config->topic_cap_ = 0;
}
