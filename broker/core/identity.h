/*
 * Who a connection speaks for and what it may do (SPEC.md section 8): a user, filters for subscribing and
 * for publishing, an hour at which it ends. Immutable once handed out; counted without atomics, so it
 * belongs to one thread.
 */
#ifndef FT_CORE_IDENTITY_H
#define FT_CORE_IDENTITY_H

#include "protocol/error.h"
#include "protocol/slice.h"

struct ft_identity;

enum ft_right { FT_RIGHT_SUB, FT_RIGHT_PUB, FT_RIGHTS };

struct ft_identity_spec {
    struct ft_slice user; /* absent: nobody in particular */
    uint64_t expires_ms;  /* unix; 0: never */
    bool is_admin;        /* may use control, figures, $sys/# */
    bool may_everything;  /* every topic but the broker's, every filter but $sys/# */
};

/* Makes one that may do nothing yet, with one reference. The text of `user` is copied. */
struct ft_identity *ft_identity_new(const struct ft_identity_spec *spec);

/*
 * Adds a filter to what it may do, with every level `%u` replaced by the user; before it is handed
 * out. Returns FT_ERR_BAD_FILTER for a rule that is no filter. A rule with %u grants nothing
 *   - where there is no user, or one that cannot be one whole level: is empty, holds '/', '+', '#' or
 *     what a topic may not hold, or begins with '$' where %u is the first level;
 *   - where the outcome is longer than a topic may be.
 */
FT_MUST_USE enum ft_err ft_identity_allow(struct ft_identity *identity, enum ft_right right,
                                          struct ft_slice rule, struct ft_problem *problem);

struct ft_identity *ft_identity_ref(struct ft_identity *identity);
void ft_identity_unref(struct ft_identity *identity); /* NULL is allowed */

/* The user as given (absent: nobody in particular); lent. */
struct ft_slice ft_identity_user(const struct ft_identity *identity);
uint64_t ft_identity_expires_ms(const struct ft_identity *identity);
bool ft_identity_is_admin(const struct ft_identity *identity);

/* Says whether it may subscribe to a valid filter: one of its own covers it. $sys, and all below, is
 * an admin's, whatever the rules say. */
bool ft_identity_may_sub(const struct ft_identity *identity, struct ft_slice filter);

/* Says whether it may publish to a valid topic: one of its filters matches. Nobody may where the topic
 * is the broker's. */
bool ft_identity_may_pub(const struct ft_identity *identity, struct ft_slice topic);

#endif
