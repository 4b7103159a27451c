/* A program that the bench runs to its end, for what it prints. */
#ifndef FT_CLI_BENCH_CHILD_H
#define FT_CLI_BENCH_CHILD_H

#include "protocol/error.h"

#include <stdbool.h>
#include <stddef.h>

struct ft_child_options {
    const char *const *arguments; /* the program first, looked for in PATH; NULL at the end */
    const char *input;            /* a file that it reads as its stdin, or NULL */
    int core;                     /* where it runs */
    unsigned limit_ms;            /* killed when it takes longer */
};

/*
 * Runs a program and puts what it writes to stdout into `output`, with a NUL at the end; what does not
 * fit is lost. FT_ERR_INTERNAL: it failed, or took too long.
 */
FT_MUST_USE
enum ft_err ft_child_run(const struct ft_child_options *options, char *output, size_t size,
                         struct ft_problem *problem);

/* Says whether there is such a program in PATH. */
bool ft_child_is_there(const char *program);

#endif
