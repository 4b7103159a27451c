/*
 * Prints settings: the effective ones, the list in --help, the commented sample. All three come
 * from the tables, so that none can be forgotten. Runs at start, on the main thread.
 */
#include "broker/app/config.h"

#include "protocol/quote.h"

#include <string.h>

/* Prints [section] where the row begins another one than the row before it. */
static void print_section(size_t row, FILE *out)
{
    if (row > 0 && strcmp(ft_options[row].section, ft_options[row - 1].section) != 0)
        fprintf(out, "\n[%s]\n", ft_options[row].section);
}

/* A list takes a line for each item, because a line of a file has its bounds. A secret becomes a
 * comment: what is printed does not set it to something else. */
static void print_value(const struct ft_option *option, const void *field, FILE *out)
{
    char value[FT_OPTION_VALUE_MAX];
    const struct ft_strings *list = ft_option_is_list(option) ? field : NULL;

    if (list && list->count > 1) {
        for (size_t i = 0; i < list->count; i++)
            print_value(option, &(struct ft_strings){&list->items[i], 1}, out);
        return;
    }
    ft_option_show(option, field, value, sizeof(value));
    const char *mark = strstr(value, FT_OPTION_HIDDEN) ? "# " : "";
    fprintf(out, "%s%s =%s%s\n", mark, option->name, value[0] ? " " : "", value);
}

static void print_topic_settings(const struct ft_topic_settings *settings, FILE *out)
{
    for (size_t i = 0; i < ft_topic_option_count; i++)
        print_value(&ft_topic_options[i], (const char *)settings + ft_topic_options[i].offset, out);
}

/* Prints [topic "FILTER"] and what the section sets. */
static void print_topics(const struct ft_topic_section *section, FILE *out)
{
    fputs("[topic \"", out);
    for (const char *at = section->filter; *at; at++) {
        if (*at == '"' || *at == '\\')
            fputc('\\', out);
        fputc(*at, out);
    }
    fputs("\"]\n", out);
    print_topic_settings(&section->settings, out);
}

void ft_config_print(const struct ft_config *config, FILE *out)
{
    for (size_t i = 0; i < ft_option_count; i++) {
        print_section(i, out);
        print_value(&ft_options[i], ft_config_field(config, &ft_options[i]), out);
    }
    for (size_t i = 0; i < config->topic_count; i++) {
        fputc('\n', out);
        print_topics(&config->topics[i], out);
    }
}

/* Prints what holds where no section decides. */
static void print_topic_defaults(FILE *out)
{
    for (size_t i = 0; i < ft_topic_option_count; i++)
        fprintf(out, "%s = %s\n", ft_topic_options[i].name, ft_topic_options[i].initial);
}

void ft_config_print_topic(const struct ft_config *config, struct ft_slice topic, FILE *out)
{
    struct ft_slice filter;
    char quoted[FT_QUOTE_MAX];

    ft_policies_find(config->policies, topic, &filter);
    ft_quote(topic, quoted);
    for (size_t i = 0; i < config->topic_count; i++) {
        const struct ft_topic_section *section = &config->topics[i];
        if (!ft_slice_equal(ft_slice_str(section->filter), filter))
            continue;
        fprintf(out, "# %s: this section decides, %s\n", quoted, section->where);
        print_topics(section, out);
        return;
    }
    fprintf(out, "# %s: no section matches, so the defaults hold\n", quoted);
    print_topic_defaults(out);
}

static void print_help_row(const struct ft_option *option, FILE *out)
{
    char name[FT_OPTION_NAME_MAX], expected[FT_OPTION_VALUE_MAX];

    fprintf(out, "  %s", ft_option_name(option, name));
    if (option->initial[0])
        fprintf(out, " = %s", option->initial);
    fprintf(out, "\n      %s\n      %s\n", option->help,
            ft_option_expects(option, expected, sizeof(expected)));
}

void ft_config_print_help(FILE *out)
{
    fputs("Settings, by name and default. Each can stand in the file (NAME = VALUE, under its\n"
          "[section]), after --set, or in the environment (limits.queue is FANTAIL_LIMITS_QUEUE).\n"
          "The command line overrides the environment, that the file, that the default.\n\n",
          out);
    for (size_t i = 0; i < ft_option_count; i++)
        print_help_row(&ft_options[i], out);
    fputs("\nPolicies by topic, in sections [topic \"FILTER\"] of the file. The most specific\n"
          "filter that matches a topic decides alone: from the left, a level that is written out\n"
          "goes before +, that before #.\n\n",
          out);
    for (size_t i = 0; i < ft_topic_option_count; i++)
        print_help_row(&ft_topic_options[i], out);
}

void ft_config_print_sample(FILE *out)
{
    char name[FT_OPTION_ENV_MAX], expected[FT_OPTION_VALUE_MAX];

    fputs(
        "# Fantail's configuration: fantaild -c FILE.\n"
        "#\n"
        "# Every setting is here, commented out and with its default, or with an example where it\n"
        "# is not set by default. The environment overrides this file, the command line both.\n"
        "# `fantaild -c FILE --check-config` says whether a file is right, and prints what is in\n"
        "# effect. A running broker reads its file again at SIGHUP, and says in its log which\n"
        "# changed settings need a restart.\n",
        out);
    for (size_t i = 0; i < ft_option_count; i++) {
        const struct ft_option *option = &ft_options[i];
        print_section(i, out);
        bool is_unset = option->initial[0] == 0 && option->min == 0;
        fprintf(out, "\n# %s\n# %s\n# %s%s%s\n#%s = %s\n", option->help,
                ft_option_expects(option, expected, sizeof(expected)), ft_option_env(option, name),
                is_unset ? " (not set by default)" : "",
                option->is_reloadable ? " (read again at SIGHUP)" : "", option->name,
                ft_option_example(option));
    }
    fputs(
        "\n# Policies by topic, one section for each filter. The most specific filter that\n"
        "# matches a topic decides alone: from the left, a level that is written out goes before\n"
        "# +, that before #. `fantaild -c FILE --check-config --topic TOPIC` says which it is.\n"
        "#[topic \"chat/#\"]\n",
        out);
    for (size_t i = 0; i < ft_topic_option_count; i++) {
        const struct ft_option *option = &ft_topic_options[i];
        fprintf(out, "\n# %s\n# %s\n#%s = %s\n", option->help,
                ft_option_expects(option, expected, sizeof(expected)), option->name,
                ft_option_example(option));
    }
}
