/*
 * What the operator configured, read and checked, at one time: keys, API keys, what claims must say, rules.
 * Immutable and counted with atomics; it holds the cache of tokens that its keys verified.
 */
#ifndef FT_AUTH_SNAPSHOT_H
#define FT_AUTH_SNAPSHOT_H

#include <stdatomic.h>

#include "broker/auth/api_keys.h"
#include "broker/auth/claims.h"
#include "broker/auth/gate.h"
#include "broker/auth/keys.h"
#include "broker/auth/token_cache.h"

/* A list of texts of its own. */
struct ft_auth_list {
    char **items;
    size_t count;
};

struct ft_snapshot {
    atomic_uint refs;
    enum ft_auth_mode mode;
    struct ft_keys keys;
    struct ft_api_keys *api_keys; /* NULL: none */
    struct ft_token_cache *cache; /* NULL: there are no keys */
    char *issuer;                 /* NULL: any */
    struct ft_auth_list audiences;
    struct ft_auth_list anonymous[FT_RIGHTS], user[FT_RIGHTS];
    uint32_t leeway_ms, grace_ms;
};

/* Makes one from the options, as ft_auth_new() says. */
FT_MUST_USE enum ft_err ft_snapshot_new(const struct ft_auth_options *options,
                                        struct ft_snapshot **snapshot, struct ft_problem *problem);

/* Takes a reference. The caller makes sure that there is one. */
struct ft_snapshot *ft_snapshot_ref(struct ft_snapshot *snapshot);
void ft_snapshot_unref(struct ft_snapshot *snapshot); /* NULL is allowed */

/* Allows an identity that was just made what the rules of a list say. */
void ft_snapshot_allow(struct ft_identity *identity, const struct ft_auth_list lists[FT_RIGHTS]);

#endif
