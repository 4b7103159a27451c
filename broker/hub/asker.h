/*
 * Who asks for something that is answered later, when the journal has numbered it: a session, or an HTTP
 * request. Embedded in both, so that a publication takes the same way whoever sent it. The worker's
 * thread.
 */
#ifndef FT_HUB_ASKER_H
#define FT_HUB_ASKER_H

#include "broker/core/identity.h"
#include "broker/core/publication.h"
#include "protocol/envelope.h"

struct ft_asker;
struct ft_worker;

struct ft_asker_ops {
    /* The publish with this `id` was numbered (or is a duplicate). Called at the end of a turn, or from
     * ft_worker_settle(); may queue bytes, must not end or free the asker. */
    void (*published)(struct ft_asker *asker, struct ft_id id,
                      const struct ft_publication *publication);

    /* The journal is full: send no publishes for now; or go on, in a later turn, not from within. Repeating
     * it is allowed. */
    void (*hold)(struct ft_asker *asker, bool on);
};

struct ft_asker {
    struct ft_worker *worker;
    const struct ft_asker_ops *ops;
    struct ft_identity *who; /* a reference; never NULL */
    uint32_t unacked;        /* publishes that wait for their number */
    uint32_t held_at; /* the worker's: 1 + its place among those that are held, 0: not there */
};

/* Starts an asker in zeroed memory. Takes `who`, a reference. */
void ft_asker_init(struct ft_asker *asker, struct ft_worker *worker, const struct ft_asker_ops *ops,
                   struct ft_identity *who);

/* Ends it: it hears no more of its publishes. */
void ft_asker_fini(struct ft_asker *asker);

#endif
