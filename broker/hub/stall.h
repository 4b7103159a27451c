/*
 * Stalled sessions. In a cluster a request may have to wait: for a partition that the node has only begun to
 * join, for a position that another node was quicker to have, for what becomes of publishes. The session then
 * keeps a copy of this envelope and of what it has sent behind it, nothing more is read from it, and it goes
 * on in order, with that envelope, when what it waits for is there or its time is over.
 *
 *     message   [ sub ][ pub ][ ping ]        sub: has to wait
 *                  └── kept from here on ──▶   ft_stalls_run(): sub again, pub, ping
 *
 * Waiting is for a reply that says more, never for its own sake: each envelope waits for each of these once,
 * and then goes on with what is known. On a node of its own nothing stalls, and session->stall is NULL.
 * The worker's thread.
 */
#ifndef FT_HUB_STALL_H
#define FT_HUB_STALL_H

#include "broker/core/partitions.h"
#include "protocol/envelope.h"

struct ft_session;
struct ft_stall;
struct ft_worker;

enum ft_stall_kind {
    FT_STALL_JOIN,    /* until partitions are joined */
    FT_STALL_AHEAD,   /* until streams have come to where the client has seen them */
    FT_STALL_ANSWERS, /* until it is told what became of all its publishes */
    FT_STALL_KINDS
};

/* A worker's. */
struct ft_stalls {
    struct ft_stall *ahead;              /* that wait for positions */
    uint64_t head;                       /* of the journal, when those were looked through */
    struct ft_stall *ready, **ready_end; /* that can go on, first come, first served */
};

void ft_stalls_init(struct ft_stalls *stalls);

/* Lets those go on that can, whoever waits for a partition too. Within a turn, before it commits. */
void ft_stalls_run(struct ft_worker *worker);

/* Says whether anybody waits for what comes with a wake-up, and whether there is nothing to do for them now. */
bool ft_stalls_are_there(const struct ft_worker *worker);
bool ft_stalls_are_calm(const struct ft_worker *worker);

/* ---- for verbs: each says whether the session is stalled now; then the verb returns FT_OK, and comes again ---- */

/* Waits for the partitions of `missing` (join_wait.h), at most relay.deadline. Until the verb is through, those of
 * `touched` are wanted. */
bool ft_stall_until_joined(struct ft_session *session, const struct ft_partition_set *touched,
                           const struct ft_partition_set *missing);

/* Waits until those positions of `since`, a list of sound ones, that are of streams in `touched` have been
 * here, for a short while. */
bool ft_stall_until_there(struct ft_session *session, const struct ft_partition_set *touched,
                          const struct ft_list *since);

/* Waits until it is known what became of all publishes that the session has sent. */
bool ft_stall_until_answered(struct ft_session *session);

/* ---- for verbs.c: what is to be done where session->stall is there ---- */

/* After an envelope: `mark` is the reader as it was before it. Returns true when it waits: it and what is behind
 * it in its message is kept. */
bool ft_stall_keep(struct ft_session *session, const struct ft_reader *mark);

/* Before a message: returns true when it has to wait behind others. */
bool ft_stall_queue(struct ft_session *session, struct ft_slice message);

/* ---- for session.c, the same ---- */

/* A publish of the session was answered. */
void ft_stall_answered(struct ft_session *session);

/* Forgets all that waits. */
void ft_stall_drop(struct ft_session *session);

#endif
