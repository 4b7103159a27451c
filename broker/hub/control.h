/*
 * What an operator has done to sessions, on all workers of all nodes (SPEC.md sections 7 and 8): an order says
 * to whom and what. It is a value, so that it can be carried out here whoever gave it: a request to this
 * node, or another node.
 *
 *     request ─▶ ft_control ─┬─▶ workers of this node ───────────────────────────┬─▶ done
 *                            └─▶ relay ─▶ other nodes: ft_control_foreign ─▶ … ──┘
 */
#ifndef FT_HUB_CONTROL_H
#define FT_HUB_CONTROL_H

#include "broker/hub/question.h"
#include "protocol/buffer.h"
#include "protocol/error.h"
#include "protocol/slice.h"

struct ft_hub;
struct ft_relay_ask;
struct ft_worker;

enum ft_order_kind {
    FT_ORDER_DISCONNECT, /* ends the sessions with 4403 */
    FT_ORDER_UNSUBSCRIBE /* ends their subscriptions to exactly these filters, and tells them */
};

/* Filters that one order may name. */
#define FT_ORDER_FILTERS_MAX 1024

/* Bytes that an order may take as MessagePack: all its filters, and a user. */
#define FT_ORDER_BYTES_MAX ((size_t)512 * 1024)

struct ft_order {
    enum ft_order_kind kind;
    struct ft_slice user,
        session; /* all sessions of a user, or the one with this id: one is absent */
    const struct ft_slice *filters;
    uint32_t filter_count;
};

/* What came of it. */
struct ft_order_outcome {
    uint64_t sessions;      /* that were ended, or have lost a subscription */
    uint64_t subscriptions; /* that were ended by name */
    uint32_t nodes;         /* that have carried it out */
};

/* Says whether the order can be carried out: to whom, and valid filters where it needs them. */
FT_MUST_USE enum ft_err ft_order_check(const struct ft_order *order, struct ft_problem *problem);

/*
 * Has every worker, and where there is a relay every other node, carry out an order that was checked; it is
 * copied. `done` is called on the thread of `worker`, in a later turn, with the question that is returned;
 * its `asker` is `asker`.
 */
struct ft_question *ft_control(struct ft_worker *worker, const struct ft_order *order,
                               void (*done)(struct ft_question *question), void *asker);

/* Returns what came of it, as far as is known; for `done`, and lent for that long. */
const struct ft_order_outcome *ft_control_outcome(const struct ft_question *question);

/* Returns why that is not all, or may not be: who was not reached, or has not answered; FT_OK: every node has
 * carried it out. For `done`, too. */
const struct ft_problem *ft_control_problem(const struct ft_question *question);

/* ---- between nodes ---- */

/* Adds an order as one MessagePack value: [kind, user, session, [filter, …], …]. */
void ft_order_write(const struct ft_order *order, struct ft_buffer *out);

/*
 * Reads one that is foreign: whole, with nothing behind it, and such that it can be carried out. `filters` has
 * room for FT_ORDER_FILTERS_MAX; texts point into `bytes`. Elements that this version does not know are
 * skipped.
 */
FT_MUST_USE enum ft_err ft_order_read(struct ft_slice bytes, struct ft_order *order,
                                      struct ft_slice *filters, struct ft_problem *problem);

/* Has every worker of this node carry out the order of another one: of kind FT_ASK_CARRIED, with an order in
 * its body that ft_order_read() took. It goes to ft_relay_ops.ask with its outcome. Any thread. */
void ft_control_foreign(struct ft_hub *hub, struct ft_relay_ask *ask);

#endif
