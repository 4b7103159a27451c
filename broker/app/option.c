/*
 * The two tables of options, and finding a row in them. It does not read values (option_value.c)
 * and holds none (config.c). Runs at start and at a reload, on the main thread.
 */
#include "broker/app/option.h"

#include "broker/app/config.h"

#include <ctype.h>
#include <string.h>

const struct ft_option ft_options[] = {
#define FT_OPTION(type_, section_, name_, field_, initial_, min_, max_, reloadable_, unit_, help_) \
    {                                                                                              \
        .type = FT_OPTION_##type_,                                                                 \
        .section = section_,                                                                       \
        .name = name_,                                                                             \
        .initial = initial_,                                                                       \
        .min = min_,                                                                               \
        .max = max_,                                                                               \
        .is_reloadable = reloadable_,                                                              \
        .unit = unit_,                                                                             \
        .help = help_,                                                                             \
        .offset = offsetof(struct ft_config, field_),                                              \
    },
#include "broker/app/options.def"
#undef FT_OPTION
};

const size_t ft_option_count = sizeof(ft_options) / sizeof(ft_options[0]);

const struct ft_option ft_topic_options[] = {
#define FT_TOPIC_OPTION(type_, name_, field_, initial_, min_, max_, unit_, help_) \
    {                                                                             \
        .type = FT_OPTION_##type_,                                                \
        .section = "",                                                            \
        .name = name_,                                                            \
        .initial = initial_,                                                      \
        .min = min_,                                                              \
        .max = max_,                                                              \
        .is_reloadable = true,                                                    \
        .unit = unit_,                                                            \
        .help = help_,                                                            \
        .offset = offsetof(struct ft_topic_settings, field_),                     \
    },
#include "broker/app/topic_options.def"
#undef FT_TOPIC_OPTION
};

const size_t ft_topic_option_count = sizeof(ft_topic_options) / sizeof(ft_topic_options[0]);

/* Longest name that a guess is made for; no option is nearly as long. */
#define GUESS_MAX 64

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Number of letters to insert, drop or change to get from one name to the other, cases alike. */
static size_t distance(const char *from, const char *to)
{
    size_t row[GUESS_MAX + 1];
    size_t len = strlen(to);

    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; from[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < len; j++) {
            bool same = tolower((unsigned char)from[i]) == tolower((unsigned char)to[j]);
            size_t cost = least(row[j] + 1, row[j + 1] + 1, diagonal + (same ? 0 : 1));
            diagonal = row[j + 1];
            row[j + 1] = cost;
        }
    }
    return row[len];
}

const char *ft_option_name(const struct ft_option *option, char out[FT_OPTION_NAME_MAX])
{
    const char *dot = option->section[0] ? "." : "";

    snprintf(out, FT_OPTION_NAME_MAX, "%s%s%s", option->section, dot, option->name);
    return out;
}

const char *ft_option_env(const struct ft_option *option, char out[FT_OPTION_ENV_MAX])
{
    char name[FT_OPTION_NAME_MAX];

    snprintf(out, FT_OPTION_ENV_MAX, "FANTAIL_%s", ft_option_name(option, name));
    for (char *at = out; *at; at++)
        *at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
    return out;
}

static const struct ft_option *find(const struct ft_option *rows, size_t count,
                                    const char *full_name)
{
    char name[FT_OPTION_NAME_MAX];

    for (size_t i = 0; i < count; i++)
        if (strcmp(ft_option_name(&rows[i], name), full_name) == 0)
            return &rows[i];
    return NULL;
}

const struct ft_option *ft_option_find(const char *full_name)
{
    return find(ft_options, ft_option_count, full_name);
}

const struct ft_option *ft_topic_option_find(const char *name)
{
    return find(ft_topic_options, ft_topic_option_count, name);
}

static const struct ft_option *nearest(const struct ft_option *rows, size_t count,
                                       const char *full_name)
{
    const struct ft_option *best = NULL;
    /* A third of the letters wrong is still a typo; more is another word. */
    size_t limit = strlen(full_name) / 3;
    size_t best_distance = (limit > 2 ? limit : 2) + 1;

    if (strlen(full_name) > GUESS_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        char name[FT_OPTION_NAME_MAX];
        size_t d = distance(full_name, ft_option_name(&rows[i], name));
        /* The name alone, its section forgotten, is as good as one wrong letter. */
        if (d > 1 && strcmp(rows[i].name, full_name) == 0)
            d = 1;
        if (d < best_distance) {
            best_distance = d;
            best = &rows[i];
        }
    }
    return best;
}

const struct ft_option *ft_option_nearest(const char *full_name)
{
    return nearest(ft_options, ft_option_count, full_name);
}

const struct ft_option *ft_topic_option_nearest(const char *name)
{
    return nearest(ft_topic_options, ft_topic_option_count, name);
}
