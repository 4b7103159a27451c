/*
 * A command line against a table of options. Does not know the subcommands. The main thread.
 */
#include "clients/cli/flags.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/quote.h"

static const struct ft_flag *find_letter(const struct ft_flag *flags, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        if (flags[i].letter != '\0' && flags[i].letter == letter)
            return &flags[i];
    return NULL;
}

static const struct ft_flag *find_name(const struct ft_flag *flags, size_t n, const char *name,
                                       size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0)
            return &flags[i];
    return NULL;
}

static bool set_count(const char *text, uint64_t *target)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno || value == 0)
        return false;
    *target = value;
    return true;
}

static bool set_number(const char *text, double *target)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value <= 0)
        return false;
    *target = value;
    return true;
}

static bool add_text(const char *text, struct ft_flag_texts *target)
{
    if (target->count == FT_FLAG_TEXTS_MAX)
        return false;
    target->items[target->count++] = text;
    return true;
}

static enum ft_err set(const struct ft_flag *flag, const char *text, struct ft_problem *problem)
{
    char quoted[FT_QUOTE_MAX];
    if (flag->type == FT_FLAG_TEXT) {
        *(const char **)flag->target = text;
    } else if (flag->type == FT_FLAG_TEXTS && !add_text(text, flag->target)) {
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "--%s may be given %d times, not more",
                              flag->name, FT_FLAG_TEXTS_MAX);
    } else if (flag->type == FT_FLAG_COUNT && !set_count(text, flag->target)) {
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                              "--%s takes a whole number of at least 1, not %s", flag->name,
                              ft_quote(ft_slice_str(text), quoted));
    } else if (flag->type == FT_FLAG_NUMBER && !set_number(text, flag->target)) {
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "--%s takes a number above 0, not %s",
                              flag->name, ft_quote(ft_slice_str(text), quoted));
    }
    return FT_OK;
}

/* One option: finds its row and its value, which may be the next argument; moves `*at` past both. */
static enum ft_err parse_one(const struct ft_flag *flags, size_t n, int argc, char **argv, int *at,
                             struct ft_problem *problem)
{
    const char *text = argv[(*at)++];
    bool is_long = text[1] == '-';
    size_t len = is_long ? strcspn(text + 2, "=") : 1;
    const struct ft_flag *flag =
        is_long ? find_name(flags, n, text + 2, len) : find_letter(flags, n, text[1]);
    char quoted[FT_QUOTE_MAX];
    if (!flag)
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                              "there is no option %s (an argument that begins with a dash goes "
                              "behind --)",
                              ft_quote(ft_slice_str(text), quoted));

    const char *rest = is_long ? text + 2 + len : text + 2;
    if (flag->type == FT_FLAG_SWITCH) {
        if (*rest != '\0')
            return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "--%s takes no value: %s",
                                  flag->name, ft_quote(ft_slice_str(text), quoted));
        *(bool *)flag->target = true;
        return FT_OK;
    }
    const char *value = *rest == '\0' ? NULL : is_long ? rest + 1 : rest;
    if (!value && *at < argc)
        value = argv[(*at)++];
    if (!value)
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "--%s needs a value: %s", flag->name,
                              flag->value);
    return set(flag, value, problem);
}

enum ft_err ft_flags_parse(const struct ft_flag *flags, size_t n, int *argc, char **argv,
                           struct ft_problem *problem)
{
    int kept = 1;
    bool is_over = false;
    for (int at = 1; at < *argc;) {
        if (!is_over && strcmp(argv[at], "--") == 0) {
            is_over = true;
            at++;
        } else if (is_over || argv[at][0] != '-' || argv[at][1] == '\0') {
            argv[kept++] = argv[at++];
        } else {
            enum ft_err err = parse_one(flags, n, *argc, argv, &at, problem);
            if (err)
                return err;
        }
    }
    *argc = kept;
    return FT_OK;
}

void ft_flags_print(const struct ft_flag *flags, size_t n, FILE *out)
{
    for (size_t i = 0; i < n; i++) {
        char left[64];
        int used = flags[i].letter ? snprintf(left, sizeof(left), "-%c, ", flags[i].letter)
                                   : snprintf(left, sizeof(left), "    ");
        snprintf(left + used, sizeof(left) - (size_t)used, "--%s%s%s", flags[i].name,
                 flags[i].value ? " " : "", flags[i].value ? flags[i].value : "");
        fprintf(out, "  %-24s %s\n", left, flags[i].help);
    }
}
