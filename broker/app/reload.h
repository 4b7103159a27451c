/*
 * Going over to new settings while the broker runs: at SIGHUP, all or nothing, without dropping a
 * connection. The main thread, between ft_loops_start() and ft_loops_stop().
 */
#ifndef FT_APP_RELOAD_H
#define FT_APP_RELOAD_H

#include "broker/app/access.h"
#include "broker/app/cli.h"
#include "broker/hub/worker.h"
#include "broker/net/loops.h"

struct ft_reload {
    const struct ft_cli *cli; /* as at start: file, environment and command line are read again */
    struct ft_config *config; /* what the broker runs with */
    struct ft_access *access;
    struct ft_hub *hub;
    struct ft_loops *loops;
};

/*
 * Reads everything again. What is wrong is logged as `config_refused`, and nothing changes.
 * Otherwise each setting that changes is logged, each that would need a restart too
 * (`restart_needed`), and `reloaded` when all workers have been told. Returns whether it was taken.
 */
bool ft_reload(const struct ft_reload *reload);

/* Returns what the hub is told of a finished config, and HTTP through it. Moves config->policies; lends
 * config->node. */
struct ft_hub_options ft_reload_hub_options(struct ft_config *config);

#endif
