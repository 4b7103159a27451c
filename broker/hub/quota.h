/*
 * What one address and one user may take of a node: connections, subscriptions, and rates. One table for
 * all workers, because a client's connections land on any of them. Any thread.
 *
 * A share is an address's or a user's entry in the table; whoever holds it keeps it there. All counts
 * are atomic; a rate is one word, advanced by compare-and-swap (the generic cell rate algorithm, ITU-T I.371).
 */
#ifndef FT_HUB_QUOTA_H
#define FT_HUB_QUOTA_H

#include "protocol/error.h"
#include "protocol/slice.h"

struct ft_quotas;
struct ft_quota_share;

enum ft_quota_kind { FT_QUOTA_ADDRESS, FT_QUOTA_USER, FT_QUOTA_KINDS };

/* What is counted while it lasts, and what is counted a second. */
enum ft_quota_held { FT_QUOTA_CONNECTIONS, FT_QUOTA_SUBSCRIPTIONS, FT_QUOTA_HELD };
enum ft_quota_rate { FT_QUOTA_CONNECTS, FT_QUOTA_PUBLISHES, FT_QUOTA_REQUESTS, FT_QUOTA_RATES };

/* 0: no limit. A rate allows bursts of one second's worth. */
struct ft_quota_limits {
    uint32_t held[FT_QUOTA_KINDS][FT_QUOTA_HELD];
    uint32_t rates[FT_QUOTA_KINDS][FT_QUOTA_RATES];
};

struct ft_quotas *ft_quotas_new(const struct ft_quota_limits *limits);
void ft_quotas_free(struct ft_quotas *quotas); /* after all shares */

/* Changes the limits; what is taken already stays. Any thread. */
void ft_quotas_configure(struct ft_quotas *quotas, const struct ft_quota_limits *limits);

/* Returns the share of an address (16 bytes; of IPv6 the first 8 count, because that is what one customer
 * gets) or of a user, made on first need. Give it back with ft_quota_release(). */
struct ft_quota_share *ft_quota_share(struct ft_quotas *quotas, enum ft_quota_kind kind,
                                      struct ft_slice key);
void ft_quota_release(struct ft_quota_share *share); /* NULL is allowed */

/* Takes `n` more, or says with FT_ERR_TOO_MANY and a `problem` that names limit and value that it is too
 * many. Given back with ft_quota_give(). NULL shares have no limits. */
FT_MUST_USE enum ft_err ft_quota_take(struct ft_quota_share *share, enum ft_quota_held what,
                                      uint32_t n, struct ft_problem *problem);
void ft_quota_give(struct ft_quota_share *share, enum ft_quota_held what, uint32_t n);

/* Counts one, at `now_us` (monotonic), or refuses; `*retry_ms` (may be NULL) is set to when one would be
 * taken. */
FT_MUST_USE enum ft_err ft_quota_pass(struct ft_quota_share *share, enum ft_quota_rate what,
                                      uint64_t now_us, uint32_t *retry_ms,
                                      struct ft_problem *problem);

#endif
