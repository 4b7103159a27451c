/*
 * What the service manager hears of this process, such as systemd of a service with Type=notify: when it
 * serves, reloads and stops, where it listens, and that every worker's loop still turns.
 *
 *     READY=1 ─▶ WATCHDOG=1 … ─▶ RELOADING=1 ─▶ READY=1 ─▶ WATCHDOG=1 … ─▶ STOPPING=1
 */
#ifndef FT_APP_SUPERVISOR_H
#define FT_APP_SUPERVISOR_H

#include "broker/base/notify.h"
#include "broker/net/loops.h"

#include <signal.h>
#include <stdbool.h>

/* Room for the addresses of all listeners. */
#define FT_SUPERVISOR_TEXT_MAX 6144

struct ft_supervisor {
    struct ft_notify notify_;
    struct ft_loops *loops_;
    char where_[FT_SUPERVISOR_TEXT_MAX];
};

/* Begins to watch loops that have started; `listens` says what they speak. */
void ft_supervisor_init(struct ft_supervisor *supervisor, struct ft_loops *loops,
                        const struct ft_listen *listens, char *const *environment);
void ft_supervisor_fini(struct ft_supervisor *supervisor);

void ft_supervisor_ready(const struct ft_supervisor *supervisor);
void ft_supervisor_reloading(const struct ft_supervisor *supervisor);

/* Ends what ft_supervisor_reloading() began: it serves on, with or without the new settings. */
void ft_supervisor_reloaded(const struct ft_supervisor *supervisor, bool is_taken);
void ft_supervisor_stopping(const struct ft_supervisor *supervisor);

/* Returns the next one of `signals`, which are blocked. Feeds the watchdog meanwhile: while a worker's loop does
 * not turn, not. */
int ft_supervisor_wait(const struct ft_supervisor *supervisor, const sigset_t *signals);

#endif
