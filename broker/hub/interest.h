/*
 * Which partitions the sessions of this node can hear from, and which of them the relay has joined. Workers
 * count their own filters and come here only when the first one is there, or the last one has gone; the relay
 * joins and leaves, some time after nobody wants a partition any more.
 *
 *     worker:  wants 0 ─▶ 1   ft_interest_want      relay:  wanted, not joined    ─▶ join … ft_interest_joined
 *              wants 1 ─▶ 0   ft_interest_unwant            joined, unwanted long ─▶ ft_interest_leave
 *
 * A partition that somebody wants is never left: that is decided under the lock. So a worker that wants one
 * and has seen it joined may rely on it.
 */
#ifndef FT_HUB_INTEREST_H
#define FT_HUB_INTEREST_H

#include "broker/core/partitions.h"

#include <pthread.h>
#include <stdatomic.h>

struct ft_interest {
    struct ft_partitions partitions;
    pthread_mutex_t lock_;
    uint32_t wanted_[FT_PARTITIONS_MAX]; /* workers that want it */
    _Atomic bool joined_[FT_PARTITIONS_MAX];
    _Atomic uint32_t version_; /* grows when something is joined */
};

void ft_interest_init(struct ft_interest *interest, const struct ft_partitions *partitions);
void ft_interest_fini(struct ft_interest *interest);

/* A worker's first and last filter that touches it. Returns true where nobody wanted it before: the relay
 * has to be told (ft_relay_ops.interest). Any worker. */
bool ft_interest_want(struct ft_interest *interest, uint32_t partition);
void ft_interest_unwant(struct ft_interest *interest, uint32_t partition);

/* Says whether somebody wants it. Any thread. */
bool ft_interest_is_wanted(struct ft_interest *interest, uint32_t partition);

/* Says whether the node has everything of it from here on: any thread, but see above. */
static inline bool ft_interest_is_joined(const struct ft_interest *interest, uint32_t partition)
{
    return atomic_load_explicit(&interest->joined_[partition], memory_order_acquire);
}

/* The relay has it, or (Redis is away, a hole is being healed) still has it: that is no reason to say false. */
void ft_interest_joined(struct ft_interest *interest, uint32_t partition);

/* Leaves it, unless somebody wants it by now: then it returns false, and it stays. The relay's thread. */
bool ft_interest_leave(struct ft_interest *interest, uint32_t partition);

/* Changes when anything was joined, so that who waits for that knows when to look again. A worker that is about
 * to sleep says so first, and looks then: whoever joins wakes it, or it sees that here. */
static inline uint32_t ft_interest_version(const struct ft_interest *interest)
{
    return atomic_load(&interest->version_);
}

#endif
