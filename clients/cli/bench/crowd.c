/*
 * A forked process that obeys one-byte orders from a pipe and answers each with a report. The end of
 * the pipe ends it. It has one thread.
 */
#include "clients/cli/bench/crowd.h"

#include "broker/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

enum order { ORDER_BEGIN = 'b', ORDER_END = 'e' };

static void send_report(int fd, const struct ft_crowd_report *report)
{
    if (write(fd, report, sizeof(*report)) != sizeof(*report))
        _exit(1);
}

/* Waits for the next order; 0: the bench wants no more. */
static char read_order(int fd)
{
    char order;
    return read(fd, &order, 1) == 1 ? order : 0;
}

static bool has_order(int fd)
{
    struct pollfd orders = {.fd = fd, .events = POLLIN};
    return poll(&orders, 1, 0) > 0;
}

/* Catches up until there is an order, and at least once. */
static enum ft_err catch_up(struct ft_catchup *catchup, int orders_fd,
                            struct ft_crowd_report *report)
{
    uint64_t before = catchup->gen->delivered, start_ns = ft_clock_mono_ns();
    enum ft_err err = FT_OK;
    do {
        err = ft_catchup_resume(catchup);
        if (err == FT_OK)
            err = ft_catchup_unsubscribe(catchup, catchup->options.sessions);
    } while (err == FT_OK && !has_order(orders_fd));
    report->delivered = catchup->gen->delivered - before;
    report->seconds = (double)(ft_clock_mono_ns() - start_ns) / 1e9;
    return err;
}

static enum ft_err prepare(struct ft_catchup *catchup, const struct ft_catchup_options *options,
                           struct ft_gen *gen, const struct ft_server *server)
{
    enum ft_err err = ft_catchup_init(catchup, options, gen, server);
    if (err == FT_OK)
        err = ft_catchup_subscribe(catchup, 1); /* tells where the backlog begins */
    if (err == FT_OK)
        err = ft_catchup_unsubscribe(catchup, 1);
    return err != FT_OK ? err : ft_catchup_publish(catchup, 0);
}

static void run(const struct ft_catchup_options *options, const struct ft_server *server,
                int orders_fd, int reports_fd)
{
    static struct ft_gen gen;
    static struct ft_catchup catchup;
    struct ft_crowd_report report = {.delivered = 0};
    enum ft_err err = prepare(&catchup, options, &gen, server);
    report.problem = gen.problem;
    send_report(reports_fd, &report);
    while (err == FT_OK && read_order(orders_fd) == ORDER_BEGIN) {
        err = catch_up(&catchup, orders_fd, &report);
        report.problem = gen.problem;
        if (err != FT_OK || read_order(orders_fd) == ORDER_END)
            send_report(reports_fd, &report);
    }
    ft_catchup_fini(&catchup);
    _exit(0);
}

static enum ft_err read_report(struct ft_crowd *crowd, struct ft_crowd_report *report)
{
    if (read(crowd->reports_fd_, report, sizeof(*report)) != sizeof(*report))
        return ft_problem_set(&report->problem, FT_ERR_INTERNAL,
                              "the sessions that catch up ended without a report");
    return report->problem.err;
}

enum ft_err ft_crowd_start(struct ft_crowd *crowd, const struct ft_catchup_options *options,
                           const struct ft_server *server, int core, struct ft_problem *problem)
{
    int orders[2], reports[2];
    memset(crowd, 0, sizeof(*crowd));
    if (pipe2(orders, O_CLOEXEC) != 0)
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot make a pipe: %s",
                              strerror(errno));
    if (pipe2(reports, O_CLOEXEC) != 0) {
        close(orders[0]);
        close(orders[1]);
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot make a pipe: %s",
                              strerror(errno));
    }
    crowd->pid = fork();
    if (crowd->pid == 0) {
        close(orders[1]);
        close(reports[0]);
        ft_server_become(core);
        (void)sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){.sched_priority = 0});
        run(options, server, orders[0], reports[1]);
    }
    close(orders[0]);
    close(reports[1]);
    crowd->orders_fd_ = orders[1];
    crowd->reports_fd_ = reports[0];
    if (crowd->pid < 0) {
        ft_crowd_stop(crowd);
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot fork: %s", strerror(errno));
    }
    struct ft_crowd_report report;
    enum ft_err err = read_report(crowd, &report);
    if (err != FT_OK)
        *problem = report.problem;
    return err;
}

/* That the process is gone is seen when its report is read. */
static void give_order(const struct ft_crowd *crowd, enum order order)
{
    char byte = (char)order;
    ssize_t n = write(crowd->orders_fd_, &byte, 1);
    (void)n;
}

void ft_crowd_begin(struct ft_crowd *crowd)
{
    give_order(crowd, ORDER_BEGIN);
}

enum ft_err ft_crowd_end(struct ft_crowd *crowd, struct ft_crowd_report *report)
{
    give_order(crowd, ORDER_END);
    return read_report(crowd, report);
}

void ft_crowd_stop(struct ft_crowd *crowd)
{
    if (crowd->orders_fd_ == 0)
        return;
    close(crowd->orders_fd_); /* its last order */
    close(crowd->reports_fd_);
    if (crowd->pid > 0)
        waitpid(crowd->pid, NULL, 0);
    memset(crowd, 0, sizeof(*crowd));
}
