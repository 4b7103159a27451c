/*
 * What an operator has done to sessions, on all workers (SPEC.md sections 7 and 8): an order says to whom
 * and what. It is a value, so that it can be carried out here whoever gave it: a request to this node, or
 * another node.
 */
#ifndef FT_HUB_CONTROL_H
#define FT_HUB_CONTROL_H

#include "broker/hub/question.h"
#include "protocol/error.h"
#include "protocol/slice.h"

struct ft_worker;

enum ft_order_kind {
    FT_ORDER_DISCONNECT, /* ends the sessions with 4403 */
    FT_ORDER_UNSUBSCRIBE /* ends their subscriptions to exactly these filters, and tells them */
};

/* Filters that one order may name. */
#define FT_ORDER_FILTERS_MAX 1024

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
};

/* Says whether the order can be carried out: to whom, and valid filters where it needs them. */
FT_MUST_USE enum ft_err ft_order_check(const struct ft_order *order, struct ft_problem *problem);

/*
 * Has every worker carry out an order that was checked; it is copied. `done` is called on the thread of
 * `worker`, in a later turn, with the question that is returned; its `asker` is `asker`.
 */
struct ft_question *ft_control(struct ft_worker *worker, const struct ft_order *order,
                               void (*done)(struct ft_question *question), void *asker);

/* Returns what came of it; for `done`, and lent for that long. */
const struct ft_order_outcome *ft_control_outcome(const struct ft_question *question);

#endif
