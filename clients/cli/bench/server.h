/*
 * The process under load: the broker, or the floor beside it. Both are children of the bench, pinned
 * to one core, die with it, and are stopped by their own id within a bound.
 */
#ifndef FT_CLI_BENCH_SERVER_H
#define FT_CLI_BENCH_SERVER_H

#include "protocol/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

struct ft_server {
    pid_t pid;
    struct sockaddr_in address;
    bool is_floor;
    int out_fd_; /* the broker's stdout */
};

/* Most settings of one broker. */
#define FT_SERVER_SETTINGS_MAX 4

struct ft_server_options {
    const char *path;
    int core;
    const char *const *settings; /* "journal.size=16m", …, NULL; itself NULL: none */
    const char *config;          /* a file of settings, or NULL */
};

/*
 * Starts a broker with one worker on a free port of 127.0.0.1 and waits until it says that it is
 * ready. FT_ERR_UNAVAILABLE: it could not be started, or did not get ready within 5 s.
 */
FT_MUST_USE
enum ft_err ft_server_start(struct ft_server *server, const struct ft_server_options *options,
                            struct ft_problem *problem);

/*
 * Makes the calling process, a child just forked, what every server here is: pinned to `core`, with
 * as many file descriptors as it may have, and gone when the bench is.
 */
void ft_server_become(int core);

/*
 * Reads one of the broker's metrics; `sample` is its name, with labels as the broker writes them. One that is not
 * there fails.
 */
FT_MUST_USE
enum ft_err ft_server_metric(const struct ft_server *server, const char *sample, double *value,
                             struct ft_problem *problem);

/* Stops a server that was started (a zeroed one is none): SIGTERM, and after 3 s SIGKILL. */
void ft_server_stop(struct ft_server *server);

#endif
