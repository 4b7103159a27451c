/*
 * The port to whoever checks credentials (broker/auth/): from a token or an API key to an identity. The
 * hub and http/ ask; broker/app/ ties it together.
 */
#ifndef FT_HUB_GATE_H
#define FT_HUB_GATE_H

#include "broker/core/identity.h"

/* Where a token came from, in the order in which they count (SPEC.md section 2). API keys are taken from
 * the header only. */
enum ft_token_place {
    FT_TOKEN_HEADER,
    FT_TOKEN_SUBPROTOCOL,
    FT_TOKEN_COOKIE,
    FT_TOKEN_QUERY,
    FT_TOKEN_ENVELOPE /* `auth` on a live connection */
};

struct ft_gate_ops {
    /*
     * Checks a token: signature, claims, permissions; or an API key. Returns a new reference in `*who`, or
     * FT_ERR_UNAUTHORIZED with `problem` saying what is wrong with it, never showing any of it. Any
     * worker's thread, several at a time; it may take 100 µs (a signature), no more.
     */
    enum ft_err (*check)(void *gate, enum ft_token_place place, struct ft_slice token,
                         uint64_t now_ms, struct ft_identity **who, struct ft_problem *problem);

    /*
     * Returns a new reference to what somebody without a token is, or NULL: a token is needed. `is_local`: the
     * connection came to a loopback address, from one, and through no proxy.
     */
    struct ft_identity *(*anonymous)(void *gate, bool is_local);

    /* Returns how long a session whose token has expired may take to send another, in milliseconds. */
    uint32_t (*grace_ms)(void *gate);
};

#endif
