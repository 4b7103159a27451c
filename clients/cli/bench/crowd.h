/*
 * Sessions that catch up in a process of their own, beside what the bench measures. The process shares
 * the generator's core and gives way to the bench whenever that has something to do, so that a latency
 * is the broker's and not the generator's.
 */
#ifndef FT_CLI_BENCH_CROWD_H
#define FT_CLI_BENCH_CROWD_H

#include "clients/cli/bench/catchup.h"

struct ft_crowd {
    pid_t pid;
    int orders_fd_, reports_fd_;
};

/* What the crowd did between ft_crowd_begin() and ft_crowd_end(). */
struct ft_crowd_report {
    struct ft_problem problem;
    uint64_t delivered;
    double seconds;
};

/* Starts the process, which connects, and publishes the backlog; returns when all is ready. */
FT_MUST_USE
enum ft_err ft_crowd_start(struct ft_crowd *crowd, const struct ft_catchup_options *options,
                           const struct ft_server *server, int core, struct ft_problem *problem);

/* Lets the crowd catch up, all of it at once, again and again. */
void ft_crowd_begin(struct ft_crowd *crowd);

/* Lets it finish what it is at, and returns what went wrong meanwhile. */
FT_MUST_USE
enum ft_err ft_crowd_end(struct ft_crowd *crowd, struct ft_crowd_report *report);

/* Ends the process (a zeroed crowd is none). */
void ft_crowd_stop(struct ft_crowd *crowd);

#endif
