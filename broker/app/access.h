/*
 * Who may come in, as the broker runs with it: the gate with its keys, the quotas, what HTTP goes by,
 * the files of TLS. Made of a finished config, and again of the next one at a reload. The main thread.
 */
#ifndef FT_APP_ACCESS_H
#define FT_APP_ACCESS_H

#include "broker/app/config.h"
#include "broker/auth/gate.h"
#include "broker/http/options.h"
#include "broker/hub/quota.h"

struct ft_access {
    struct ft_auth *auth;
    struct ft_quotas *quotas;
};

/* Reads the files that the config names, logs what is weak but works, and makes all of it. Returns 0;
 * or -1 and `error`. */
FT_MUST_USE
int ft_access_open(struct ft_access *access, const struct ft_config *config,
                   struct ft_config_error *error);

/* The workers have ended, and with them every share of the quotas. */
void ft_access_close(struct ft_access *access);

/* Goes over to another config while workers ask. On failure (-1 and `error`) nothing has changed. */
FT_MUST_USE
int ft_access_configure(struct ft_access *access, const struct ft_config *config,
                        struct ft_config_error *error);

/* Says in the log who may do what. */
void ft_access_log(const struct ft_config *config);

/* Returns what HTTP goes by; the caller's to ft_http_options_free(). */
struct ft_http_options *ft_access_http(const struct ft_config *config);

#endif
