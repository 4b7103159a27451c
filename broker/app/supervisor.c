/*
 * Tells the service manager what there is to tell. The watchdog has no thread of its own: the main thread
 * waits for signals, and looks up between two of them. So a reload that never ends is noticed, too. Decides
 * nothing about the broker. The main thread.
 */
#include "broker/app/supervisor.h"

#include "broker/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* So that a check which comes too early, before every loop has turned again, costs nothing yet. */
#define CHECKS_PER_PERIOD 4

void ft_supervisor_init(struct ft_supervisor *supervisor, struct ft_loops *loops,
                        const struct ft_listen *listens, char *const *environment)
{
    const char *address;
    size_t at = 0, room = sizeof(supervisor->where_);

    ft_notify_init(&supervisor->notify_, environment);
    supervisor->loops_ = loops;
    supervisor->where_[0] = '\0';
    for (size_t i = 0; (address = ft_loops_address(loops, i)) && at < room; i++)
        at += (size_t)snprintf(supervisor->where_ + at, room - at, "%shttp%s://%s/%s",
                               i > 0 ? ", " : "", listens[i].is_tls ? "s" : "", address,
                               listens[i].is_proxied ? " behind PROXY" : "");
}

void ft_supervisor_fini(struct ft_supervisor *supervisor)
{
    ft_notify_fini(&supervisor->notify_);
}

void ft_supervisor_ready(const struct ft_supervisor *supervisor)
{
    ft_notify_send(&supervisor->notify_, "READY=1\nSTATUS=Serving at %s", supervisor->where_);
}

void ft_supervisor_reloading(const struct ft_supervisor *supervisor)
{
    ft_notify_send(&supervisor->notify_,
                   "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reading the configuration",
                   ft_clock_mono_us());
}

void ft_supervisor_reloaded(const struct ft_supervisor *supervisor, bool is_taken)
{
    ft_notify_send(&supervisor->notify_, "READY=1\nSTATUS=Serving at %s%s", supervisor->where_,
                   is_taken ? ""
                            : ", as before: the new configuration was refused, the log says why");
}

void ft_supervisor_stopping(const struct ft_supervisor *supervisor)
{
    ft_notify_send(&supervisor->notify_, "STOPPING=1\nSTATUS=Stopping");
}

int ft_supervisor_wait(const struct ft_supervisor *supervisor, const sigset_t *signals)
{
    uint64_t us = ft_notify_watchdog_us(&supervisor->notify_) / CHECKS_PER_PERIOD;
    struct timespec pause = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

    for (;;) {
        int number = us > 0 ? sigtimedwait(signals, NULL, &pause) : sigwaitinfo(signals, NULL);
        if (number > 0)
            return number;
        if (errno == EAGAIN && ft_loops_have_turned(supervisor->loops_))
            ft_notify_send(&supervisor->notify_, "WATCHDOG=1");
    }
}
