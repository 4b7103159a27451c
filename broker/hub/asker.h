/*
 * Who asks for something that is answered later, when the journal or, in a cluster, Redis has numbered it: a
 * session, or an HTTP request. Embedded in both, so that a publication takes the same way whoever sent it. The worker's
 * thread.
 */
#ifndef FT_HUB_ASKER_H
#define FT_HUB_ASKER_H

#include "broker/core/identity.h"
#include "broker/core/publication.h"
#include "broker/hub/quota.h"
#include "protocol/envelope.h"

struct ft_asker;
struct ft_worker;

/* What became of a publish. Lent for the call. */
struct ft_outcome {
    const struct ft_problem *problem; /* NULL: it was accepted */
    struct ft_slice pos;              /* empty: it is ephemeral; of a duplicate the first one's */
    bool is_duplicate;
};

struct ft_asker_ops {
    /* The publish with this `id` was accepted, or (in a cluster) was not, or nobody knows. Without an id
     * (FT_ID_NONE) nothing but what went wrong is to be said. Called at the end of a turn, or from
     * ft_worker_settle(), and with a problem only in a later turn; may queue bytes, must not end or free
     * the asker. */
    void (*published)(struct ft_asker *asker, struct ft_id id, const struct ft_outcome *outcome);

    /* There is no room for more: send no more publishes; or go on, in a later turn, not from within.
     * Repeating it is allowed. */
    void (*hold)(struct ft_asker *asker, bool on);
};

/* What few askers have: what they are held to beyond what holds for all, and a token that has ended. */
struct ft_account {
    uint64_t expired_at_ms; /* monotonic: when it was told that its token has expired */
    struct ft_quota_share *shares[FT_QUOTA_KINDS]; /* references, or NULL */
    uint64_t refused_at_ms;                        /* monotonic: since when … */
    uint32_t refused; /* … so many publishes were refused because they came too fast */
};

struct ft_asker {
    struct ft_worker *worker;
    const struct ft_asker_ops *ops;
    struct ft_identity *who;    /* a reference; never NULL */
    struct ft_account *account; /* NULL: nothing of that */
    uint32_t unacked;           /* publishes whose outcome will be told, if need be */
    struct ft_ticket *ticket;   /* outgoing.c's: stands for it where it may be gone; or NULL */
    uint32_t held_at; /* the worker's: 1 + its place among those that are held, 0: not there */
};

/* Starts an asker in zeroed memory. Takes `who`, a reference. */
void ft_asker_init(struct ft_asker *asker, struct ft_worker *worker, const struct ft_asker_ops *ops,
                   struct ft_identity *who);

/* Ends it: it hears no more of its publishes, and gives back the references that it has. */
void ft_asker_fini(struct ft_asker *asker);

/* Returns its account, made on need. */
struct ft_account *ft_asker_account(struct ft_asker *asker);

/* Holds it to a share from now on; takes the reference. NULL does nothing. Once for each kind. */
void ft_asker_limit(struct ft_asker *asker, enum ft_quota_kind kind, struct ft_quota_share *share);

/* Lends a share that it is held to, or NULL. */
struct ft_quota_share *ft_asker_share(const struct ft_asker *asker, enum ft_quota_kind kind);

/* Counts one of what is counted a second on both shares; on an error problem->retry_ms says when one
 * would be taken. */
FT_MUST_USE enum ft_err ft_asker_pass(struct ft_asker *asker, enum ft_quota_rate what,
                                      struct ft_problem *problem);

/* Finds the share of `who`, a reference, and takes one of its connections, for a session that is about
 * to be opened. `*share` is NULL where there is no user or no limit. */
FT_MUST_USE enum ft_err ft_admit_user(struct ft_worker *worker, const struct ft_identity *who,
                                      struct ft_quota_share **share, struct ft_problem *problem);

#endif
