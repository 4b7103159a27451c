/*
 * The command line of fantaild: reads it, and with it the file and the environment, into a config;
 * answers --help, --version, --check-config and every mistake by itself.
 */
#ifndef FT_APP_CLI_H
#define FT_APP_CLI_H

#include "broker/app/config.h"

/* What ft_cli_read() returns when the broker shall serve; everything else is an exit status. */
#define FT_CLI_SERVE (-1)

/* Exit statuses: a configuration that cannot work, a command line that cannot be read. */
#define FT_CLI_BAD_CONFIG 1
#define FT_CLI_BAD_USAGE  2

struct ft_cli {
    int argc;
    char *const *argv;
    char *const *environment; /* as `environ` */
    FILE *out;                /* answers */
    FILE *err;                /* mistakes, one line each */
};

/*
 * Returns FT_CLI_SERVE with `config` filled, checked and the caller's to ft_config_fini(); or the
 * status to exit with, the answer or the mistake already written, and nothing in `config` to free.
 */
FT_MUST_USE
int ft_cli_read(const struct ft_cli *cli, struct ft_config *config);

/*
 * Reads file, environment and command line once more, after ft_cli_read() returned FT_CLI_SERVE for
 * the same `cli`; writes nothing. Returns 0 with `config` the caller's to ft_config_fini(); or -1
 * and `error`, and nothing in `config` to free.
 */
FT_MUST_USE
int ft_cli_read_again(const struct ft_cli *cli, struct ft_config *config,
                      struct ft_config_error *error);

#endif
