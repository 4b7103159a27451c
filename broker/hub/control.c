/*
 * Orders of an operator: finds the sessions that are meant, among all of a worker's. Who may give one is
 * for the caller to ask. Each worker's thread, one after the other.
 */
#include "broker/hub/control.h"

#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/hub/reply.h"
#include "broker/hub/throttle.h"
#include "broker/hub/worker.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

#include <stdlib.h>

/* An order on its way, and the copy of all that it points to. */
struct errand {
    struct ft_question question; /* the first: a pointer to one is a pointer to the other */
    struct ft_order order;
    struct ft_order_outcome outcome;
    struct ft_slice *filters;
    struct ft_slice
        *ended; /* those of one session that are told to it: as many as there are filters */
    uint8_t bytes[];
};

/* ---- checking ---- */

static enum ft_err check_filters(const struct ft_order *order, struct ft_problem *problem)
{
    if (order->filter_count == 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "topics is missing: an array of the filters to unsubscribe");
    if (order->filter_count > FT_ORDER_FILTERS_MAX)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "topics has %u filters, but %d at most are taken",
                              order->filter_count, FT_ORDER_FILTERS_MAX);
    for (uint32_t i = 0; i < order->filter_count; i++) {
        enum ft_err err = ft_filter_check(order->filters[i], problem);
        if (err)
            return err;
    }
    return FT_OK;
}

enum ft_err ft_order_check(const struct ft_order *order, struct ft_problem *problem)
{
    if (!order->user.ptr == !order->session.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "give either user or session: whose sessions, or the id of one");
    return order->kind == FT_ORDER_UNSUBSCRIBE ? check_filters(order, problem) : FT_OK;
}

/* ---- carrying out ---- */

/* Tells a session which of its subscriptions are gone, because it goes on and would wait for them. */
static void tell(struct ft_session *session, const struct ft_slice *ended, uint32_t count)
{
    struct ft_id no_id = {.kind = FT_ID_NONE};
    struct ft_writer *w = ft_reply_begin(session, "error", no_id, 3);
    ft_write_key(w, "code");
    ft_write_uint(w, (uint64_t)ft_err_wire(FT_ERR_FORBIDDEN));
    ft_write_key(w, "message");
    ft_write_str(w, ft_slice_str("unsubscribed by the operator"));
    ft_write_key(w, "unsubscribed");
    ft_write_array(w, count);
    for (uint32_t i = 0; i < count; i++)
        ft_write_str(w, ended[i]);
    ft_reply_end(session);
}

static void unsubscribe(struct errand *errand, struct ft_session *session)
{
    uint32_t count = 0;
    ft_throttles_flush(session); /* what was held back still comes */
    for (uint32_t i = 0; i < errand->order.filter_count; i++) {
        struct ft_subscription *subscription = ft_session_find(session, errand->order.filters[i]);
        if (!subscription)
            continue;
        ft_session_unsubscribe(subscription);
        errand->ended[count++] = errand->order.filters[i];
    }
    if (count == 0)
        return;
    tell(session, errand->ended, count);
    errand->outcome.sessions++;
    errand->outcome.subscriptions += count;
}

static void disconnect(struct errand *errand, struct ft_session *session)
{
    ft_session_end(session, 4403, "disconnected by the operator");
    errand->outcome.sessions++;
}

static void apply(struct errand *errand, struct ft_session *session)
{
    if (session->is_ending)
        return;
    if (errand->order.kind == FT_ORDER_DISCONNECT)
        disconnect(errand, session);
    else
        unsubscribe(errand, session);
}

static void visit(struct ft_question *question, struct ft_worker *worker)
{
    struct errand *errand = (struct errand *)question;
    const struct ft_order *order = &errand->order;
    struct ft_session *session;
    ft_worker_settle(worker); /* what was accepted before still comes */
    if (order->session.ptr) {
        session = ft_roster_find(&worker->sessions, order->session);
        if (session)
            apply(errand, session);
        return;
    }
    for (uint32_t at = 0; (session = ft_roster_next_of(&worker->sessions, order->user, &at));)
        apply(errand, session);
}

/* ---- asking ---- */

static struct ft_slice copy(struct ft_slice text, uint8_t **at)
{
    if (!text.ptr)
        return text;
    struct ft_slice copied = ft_slice(*at, text.len);
    if (text.len > 0)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copied;
}

static void errand_free(struct ft_question *question)
{
    struct errand *errand = (struct errand *)question;
    free(errand->filters);
    free(errand->ended);
    free(errand);
}

/* What an operator does to people is in the log. */
static void note(const struct ft_order *order)
{
    char quoted[FT_QUOTE_MAX];
    bool is_user = order->user.ptr != NULL;
    ft_log(FT_LOG_INFO, order->kind == FT_ORDER_DISCONNECT ? "disconnect" : "unsubscribe", "%s=%s",
           is_user ? "user" : "session", ft_quote(is_user ? order->user : order->session, quoted));
}

struct ft_question *ft_control(struct ft_worker *worker, const struct ft_order *order,
                               void (*done)(struct ft_question *question), void *asker)
{
    uint32_t count = order->kind == FT_ORDER_UNSUBSCRIBE ? order->filter_count : 0;
    size_t size = order->user.len + order->session.len;
    for (uint32_t i = 0; i < count; i++)
        size += order->filters[i].len;
    struct errand *errand = ft_alloc_zero(sizeof(*errand) + size);
    uint8_t *at = errand->bytes;
    errand->filters = ft_alloc_zero((count + 1) * sizeof(*errand->filters));
    errand->ended = ft_alloc_zero((count + 1) * sizeof(*errand->ended));
    for (uint32_t i = 0; i < count; i++)
        errand->filters[i] = copy(order->filters[i], &at);
    errand->order = (struct ft_order){
        .kind = order->kind,
        .user = copy(order->user, &at),
        .session = copy(order->session, &at),
        .filters = errand->filters,
        .filter_count = count,
    };
    errand->question =
        (struct ft_question){.visit = visit, .done = done, .free = errand_free, .asker = asker};
    note(order);
    ft_question_ask(&errand->question, worker);
    return &errand->question;
}

const struct ft_order_outcome *ft_control_outcome(const struct ft_question *question)
{
    return &((const struct errand *)question)->outcome;
}
