/*
 * The options of a subcommand as rows: parsing and help come from the same table.
 *
 *     -C 5   -C5   --count 5   --count=5   -v   --   (everything behind it is an argument)
 */
#ifndef FT_CLI_FLAGS_H
#define FT_CLI_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "protocol/error.h"

enum ft_flag_type {
    FT_FLAG_SWITCH, /* bool: given or not */
    FT_FLAG_TEXT,   /* const char *: lent from argv */
    FT_FLAG_TEXTS,  /* struct ft_flag_texts: the same, once or several times */
    FT_FLAG_COUNT,  /* uint64_t, at least 1 */
    FT_FLAG_NUMBER  /* double, above 0 */
};

/* A position of each partition of the largest cluster. */
#define FT_FLAG_TEXTS_MAX 256

struct ft_flag_texts {
    const char *items[FT_FLAG_TEXTS_MAX];
    size_t count;
};

struct ft_flag {
    char letter;       /* '\0': only the name */
    const char *name;  /* without the dashes */
    const char *value; /* what help calls it; NULL for a switch */
    enum ft_flag_type type;
    void *target;
    const char *help;
};

/*
 * Takes the options out of argv, in any order with the arguments, which are moved together behind
 * argv[0]; sets `*argc` to what is left. FT_ERR_BAD_REQUEST says what is wrong, in words for the
 * person at the terminal.
 */
FT_MUST_USE enum ft_err ft_flags_parse(const struct ft_flag *flags, size_t n, int *argc,
                                       char **argv, struct ft_problem *problem);

/* Prints a line for each option. */
void ft_flags_print(const struct ft_flag *flags, size_t n, FILE *out);

#endif
