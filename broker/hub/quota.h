/*
 * What one address and one user may take of a node: connections, subscriptions, and rates. One table
 * for all workers, because a client's connections land on any of them. Any thread.
 *
 * A share is an address's or a user's entry in the table; whoever holds it keeps it there. All counts
 * are atomic; a rate is one word, advanced by compare-and-swap (the generic cell rate algorithm,
 * ITU-T I.371).
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

/* 0: no limit. A rate is per second, and allows bursts of one second's worth. */
struct ft_quota_limits {
    uint32_t held[FT_QUOTA_KINDS][FT_QUOTA_HELD];
    uint32_t rates[FT_QUOTA_KINDS][FT_QUOTA_RATES];
};

/* How often something was refused, for each limit; and how many shares there are, held or not. */
struct ft_quota_stats {
    uint64_t held[FT_QUOTA_KINDS][FT_QUOTA_HELD];
    uint64_t rates[FT_QUOTA_KINDS][FT_QUOTA_RATES];
    uint64_t shares;
};

struct ft_quotas *ft_quotas_new(const struct ft_quota_limits *limits);
void ft_quotas_free(struct ft_quotas *quotas); /* after all shares; NULL is allowed */

/* Changes the limits; what is taken already stays. Any thread. */
void ft_quotas_configure(struct ft_quotas *quotas, const struct ft_quota_limits *limits);

/* Returns the name of the option that sets a limit, "limits.user_publishes", for messages and labels;
 * NULL where there is none. */
const char *ft_quota_held_option(enum ft_quota_kind kind, enum ft_quota_held what);
const char *ft_quota_rate_option(enum ft_quota_kind kind, enum ft_quota_rate what);

/* Adds up what was refused since the start. Any thread. */
void ft_quotas_stats(struct ft_quotas *quotas, struct ft_quota_stats *stats);

/*
 * Returns the share of an address (16 bytes; of IPv6 the first 8 count, because that is what one
 * customer gets) or of a user (any bytes), made on first need. Give it back with ft_quota_release().
 * NULL where `quotas` is NULL, the key is absent, or no limit of this kind is set: nobody pays for
 * what is not used. Who comes before the first limit is set is therefore not counted.
 *
 * A share that nobody holds is kept while one of its rates is not full again, but at most
 * FT_QUOTA_IDLE_MAX of them: the table does not grow with all addresses that ever came.
 */
struct ft_quota_share *ft_quota_share(struct ft_quotas *quotas, enum ft_quota_kind kind,
                                      struct ft_slice key);

/* All that was taken is given back before. NULL is allowed. */
void ft_quota_release(struct ft_quota_share *share);

/* Shares that nobody holds and that are kept for their rates. */
#define FT_QUOTA_IDLE_MAX 65536

/* Takes `n` more, or says with FT_ERR_TOO_MANY and a `problem` that names limit and value that it is
 * too many. Given back with ft_quota_give(). NULL shares have no limits. */
FT_MUST_USE enum ft_err ft_quota_take(struct ft_quota_share *share, enum ft_quota_held what,
                                      uint32_t n, struct ft_problem *problem);
/* When to come again for a connection: nobody knows when another one ends, but they do. */
#define FT_QUOTA_RETRY_MS 5000

void ft_quota_give(struct ft_quota_share *share, enum ft_quota_held what, uint32_t n);

/* Counts one, at `now_us` (monotonic), or refuses; `*retry_ms` (may be NULL) is set to when one would
 * be taken. A NULL share is never refused. */
FT_MUST_USE enum ft_err ft_quota_pass(struct ft_quota_share *share, enum ft_quota_rate what,
                                      uint64_t now_us, uint32_t *retry_ms,
                                      struct ft_problem *problem);

#endif
