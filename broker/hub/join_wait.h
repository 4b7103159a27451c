/*
 * Waiting for partitions to be joined: of a session's request (stall.h), or of an HTTP request. Ends when all of
 * them are, or at relay.deadline. What is waited for has to be wanted meanwhile, or nobody joins it. The
 * worker's thread.
 */
#ifndef FT_HUB_JOIN_WAIT_H
#define FT_HUB_JOIN_WAIT_H

#include "broker/core/partitions.h"
#include "broker/hub/wheel.h"

struct ft_worker;

/* Embedded in what waits. Zero but for `ready`. */
struct ft_join_wait {
    struct ft_alarm alarm_;              /* the first field */
    struct ft_join_wait *next_, **link_; /* link_ NULL: it does not wait */
    struct ft_partition_set joining_;

    /* It has come to its end. Called once, in a turn before it commits. */
    void (*ready)(struct ft_join_wait *wait);
};

/* A worker's: all that wait. */
struct ft_join_waits {
    struct ft_join_wait *first;
    uint32_t version; /* of the interest, when they were looked through */
};

/* Says whether there are any of `touched` that are not joined yet, and sets `*missing` to those. In a cluster.
 * Who looks back to a position (`has_since`) loses by an early answer, and so waits for a server that is away as well;
 * for others those count alone whose server is reached. */
bool ft_join_is_missing(const struct ft_worker *worker, const struct ft_partition_set *touched,
                        bool has_since, struct ft_partition_set *missing);

/* Begins to wait for them. */
void ft_join_wait_begin(struct ft_join_wait *wait, struct ft_worker *worker,
                        const struct ft_partition_set *missing);

/* Ends it, whether it waits or not. */
void ft_join_wait_end(struct ft_join_wait *wait);

/* Looks through those that wait, where something was joined; says whether there is nothing to look at. */
void ft_join_waits_look(struct ft_worker *worker);
bool ft_join_waits_are_calm(const struct ft_worker *worker);

/* Returns relay.deadline, in milliseconds. */
uint32_t ft_relay_deadline_ms(const struct ft_worker *worker);

#endif
