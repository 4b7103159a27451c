/*
 * Prints settings: the effective ones, the list in --help, the commented sample. All three come from
 * the table, so that none can be forgotten. Runs at start, on the main thread.
 */
#include "broker/app/config.h"

#include <string.h>

/* Prints [section] where the row begins another one than the row before it. */
static void print_section(size_t row, FILE *out)
{
    if (row > 0 && strcmp(ft_options[row].section, ft_options[row - 1].section) != 0)
        fprintf(out, "\n[%s]\n", ft_options[row].section);
}

void ft_config_print(const struct ft_config *config, FILE *out)
{
    for (size_t i = 0; i < ft_option_count; i++) {
        char value[FT_OPTION_VALUE_MAX];
        print_section(i, out);
        fprintf(out, "%s = %s\n", ft_options[i].name,
                ft_option_show(&ft_options[i], ft_config_field(config, &ft_options[i]), value,
                               sizeof(value)));
    }
}

void ft_config_print_help(FILE *out)
{
    fputs("Settings, by name and default. Each can stand in the file (NAME = VALUE, under its\n"
          "[section]), after --set, or in the environment (limits.queue is FANTAIL_LIMITS_QUEUE).\n"
          "The command line overrides the environment, that the file, that the default.\n\n",
          out);
    for (size_t i = 0; i < ft_option_count; i++) {
        const struct ft_option *option = &ft_options[i];
        char name[FT_OPTION_NAME_MAX], expected[FT_OPTION_VALUE_MAX];
        fprintf(out, "  %s", ft_option_name(option, name));
        if (option->initial[0])
            fprintf(out, " = %s", option->initial);
        fprintf(out, "\n      %s\n      %s\n", option->help,
                ft_option_expects(option, expected, sizeof(expected)));
    }
}

void ft_config_print_sample(FILE *out)
{
    fputs("# Fantail's configuration: fantaild -c FILE.\n"
          "#\n"
          "# Every setting is here, commented out and with its default. The environment overrides\n"
          "# this file, the command line both. `fantaild -c FILE --check-config` says whether a\n"
          "# file is right, and prints what is in effect.\n",
          out);
    for (size_t i = 0; i < ft_option_count; i++) {
        const struct ft_option *option = &ft_options[i];
        char name[FT_OPTION_ENV_MAX], expected[FT_OPTION_VALUE_MAX];
        print_section(i, out);
        fprintf(out, "\n# %s\n# %s\n# %s\n#%s = %s\n", option->help,
                ft_option_expects(option, expected, sizeof(expected)), ft_option_env(option, name),
                option->name, ft_option_example(option));
    }
}
