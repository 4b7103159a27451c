/*
 * What HTTP is measured with and beside, neither of them ours: wrk sends requests as fast as they are
 * answered, and nginx answers each with an empty 204. Debian has both.
 */
#ifndef FT_CLI_BENCH_WRK_H
#define FT_CLI_BENCH_WRK_H

#include "clients/cli/bench/server.h"
#include "protocol/slice.h"

#include <limits.h>

/* A folder for the files that both need, and nginx itself. */
struct ft_nginx {
    struct ft_server server;
    char folder[PATH_MAX - 32]; /* leaves room for a name in it */
};

/* Says whether both are installed; says on stderr what is missing. */
bool ft_wrk_is_there(const char *row);

/* Starts nginx with one process on `core`, on a port that was free. */
FT_MUST_USE
enum ft_err ft_nginx_start(struct ft_nginx *nginx, int core, struct ft_problem *problem);

/* Stops it and removes the folder (a zeroed one is none). */
void ft_nginx_stop(struct ft_nginx *nginx);

struct ft_wrk_options {
    const struct ft_server *server;
    const struct ft_nginx *nginx; /* for its folder */
    int core;
    unsigned connections, pipeline; /* requests that each connection has under way */
    unsigned seconds;
    struct ft_slice body; /* of each POST /v1/publish, as JSON */
};

struct ft_wrk_result {
    uint64_t requests; /* that were answered */
    double per_s;
    double cpu_ns; /* of the server */
    double busy;   /* share of its core that the server used */
};

/* Runs wrk once. FT_ERR_INTERNAL: a request failed or was not answered with 2xx. */
FT_MUST_USE
enum ft_err ft_wrk_run(const struct ft_wrk_options *options, struct ft_wrk_result *result,
                       struct ft_problem *problem);

#endif
