/*
 * Presence (SPEC.md section 6): who is subscribed to exactly a topic whose policy says so is present there. A
 * node on its own keeps all its clients in one table, which workers share under a lock of its own; it is touched
 * when such a subscription begins or ends, and when somebody asks. In a cluster the relay keeps them, and
 * Redis; here it is only noted which subscriptions are present.
 *
 *     sub, unsub, end ─▶ table ─▶ $presence/<topic>             a node on its own
 *                     └▶ relay ─▶ Redis ─▶ $presence/<topic>    a cluster
 *
 * Where no policy has presence, a subscription pays one branch.
 */
#ifndef FT_HUB_PRESENCE_H
#define FT_HUB_PRESENCE_H

#include "broker/hub/session.h"

struct ft_hub_presence;
struct ft_presence_desk;
struct ft_worker;

/* The table of a node, and what a worker has of its own: events that wait for the end of the turn, questions
 * that wait for an answer. */
struct ft_hub_presence *ft_hub_presence_new(void);
void ft_hub_presence_free(struct ft_hub_presence *presence);
struct ft_presence_desk *ft_presence_desk_new(struct ft_worker *worker);
void ft_presence_desk_free(struct ft_presence_desk *desk);

/* The filters of a `sub` were taken: its session is present from here on, where they are topics that have
 * presence. */
void ft_hub_presence_begin(struct ft_session *session, const struct ft_envelope *envelope);

/* A subscription ends; it is in the trie still. */
void ft_hub_presence_end(struct ft_subscription *subscription);

/* The worker goes by other policies: who is present by them becomes so, who is not leaves. In portions, in
 * this turn and the next ones. */
void ft_hub_presence_reconsider(struct ft_worker *worker);

/* Who is present. `clients` is an array in the encoding that was asked for. */
struct ft_presence_answer {
    uint64_t count;
    struct ft_slice clients;
};

/* Called once with an answer, or with a problem (the other is NULL); both are lent for the call. */
typedef void (*ft_presence_fn)(struct ft_asker *asker, struct ft_id id,
                               const struct ft_presence_answer *answer,
                               const struct ft_problem *problem);

/* Says whether a `presence` envelope may be answered: its topic, permission, and that it has presence. */
FT_MUST_USE enum ft_err ft_presence_check(const struct ft_asker *asker,
                                          const struct ft_envelope *envelope,
                                          struct ft_problem *problem);

/* Looks up what a checked `presence` envelope asks for, and calls `answer`: at once, or in a cluster in a later
 * turn, unless the asker is gone by then. FT_ERR_TOO_MANY: too many questions wait for an answer. */
FT_MUST_USE enum ft_err ft_presence_ask(struct ft_asker *asker, const struct ft_envelope *envelope,
                                        enum ft_encoding encoding, ft_presence_fn answer,
                                        struct ft_problem *problem);

/* An asker goes: it is not answered any more. */
void ft_presence_forget(struct ft_asker *asker);

#endif
