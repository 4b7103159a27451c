/*
 * The addresses that a client may connect to, and whose turn it is. They are one broker: a cluster's
 * nodes, of which any does.
 *
 * The first attempt goes to the first. When a connection is lost, a random other one is next, so that
 * the clients of a node that died do not all go to the same one; then all the rest in turn, the one that
 * was lost last of all. Each once is a round.
 */
#ifndef FT_CLIENT_SERVERS_H
#define FT_CLIENT_SERVERS_H

#include <stddef.h>

#include "clients/c/url.h"

/* More than a cluster has. */
#define FT_SERVERS_MAX 64

struct ft_server {
    char *text; /* as it was given */
    struct ft_url url;
};

struct ft_servers {
    struct ft_server *items_;
    size_t count;
    size_t at_;    /* whose turn it is */
    size_t last_;  /* comes last in this round */
    size_t tried_; /* of this round, those that failed */
    bool was_open_;
};

/* Reads `n` URLs; 0: the default one. FT_ERR_BAD_FIELD says which is wrong. `servers` needs its
 * ft_servers_fini() in either case. */
FT_MUST_USE enum ft_err ft_servers_init(struct ft_servers *servers, const char *const *urls,
                                        size_t n, struct ft_problem *problem);
void ft_servers_fini(struct ft_servers *servers);

/* Lends the one whose turn it is. */
const struct ft_server *ft_servers_now(const struct ft_servers *servers);

/* It has answered: what fails from now on begins a round. */
void ft_servers_opened(struct ft_servers *servers);

/* The attempt failed, or the connection was lost: it is the next one's turn. Returns true when the round is
 * over. */
bool ft_servers_failed(struct ft_servers *servers, uint64_t random);

/* Says whether any of them needs TLS. */
bool ft_servers_have_tls(const struct ft_servers *servers);

#endif
