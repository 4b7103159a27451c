/*
 * Orders of an operator: finds the sessions that are meant, among all of a worker's, and waits for the other
 * nodes. Who may give one is for the caller to ask. Each worker's thread, one after the other.
 */
#include "broker/hub/control.h"

#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/hub/relay.h"
#include "broker/hub/reply.h"
#include "broker/hub/throttle.h"
#include "broker/hub/worker.h"
#include "protocol/quote.h"

#include <stdlib.h>

/* An order on its way, and the copy of all that it points to. It is freed when this node's workers and the
 * other nodes are done with it. */
struct errand {
    struct ft_question question; /* the first: a pointer to one is a pointer to the other */
    void (*done)(struct ft_question *question);
    uint32_t out;  /* answers that are still to come: of the workers, of the other nodes */
    uint32_t refs; /* who still has a pointer to it: the same two */
    struct ft_relay_ask *carries; /* for whom it is carried out here: it goes back, or with it */
    struct ft_order order;
    struct ft_order_outcome outcome;
    struct ft_problem problem;
    struct ft_slice *filters;
    struct ft_slice
        *ended; /* those of one session that are told to it: as many as there are filters */
    uint8_t bytes[];
};

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

static void errand_release(struct errand *errand)
{
    if (--errand->refs > 0)
        return;
    if (errand->carries)
        ft_relay_ask_free(errand->carries);
    free(errand->filters);
    free(errand->ended);
    free(errand);
}

static void on_question_free(struct ft_question *question)
{
    errand_release((struct errand *)question);
}

/* The workers, or the other nodes, have answered. */
static void on_answered(struct errand *errand)
{
    if (--errand->out == 0 && !errand->question.is_abandoned_)
        errand->done(&errand->question);
}

static void on_question_done(struct ft_question *question)
{
    struct errand *errand = (struct errand *)question;
    errand->outcome.nodes++;
    on_answered(errand);
}

/* What an operator does to people is in the log. */
static void note(const struct ft_order *order)
{
    char quoted[FT_QUOTE_MAX];
    bool is_user = order->user.ptr != NULL;
    ft_log(FT_LOG_INFO, order->kind == FT_ORDER_DISCONNECT ? "disconnect" : "unsubscribe", "%s=%s",
           is_user ? "user" : "session", ft_quote(is_user ? order->user : order->session, quoted));
}

/* Makes an errand of a copy of the order. */
static struct errand *errand_new(const struct ft_order *order,
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
        errand->filters[i] = ft_slice_copy(order->filters[i], &at);
    errand->order = (struct ft_order){
        .kind = order->kind,
        .user = ft_slice_copy(order->user, &at),
        .session = ft_slice_copy(order->session, &at),
        .filters = errand->filters,
        .filter_count = count,
    };
    errand->done = done;
    errand->question = (struct ft_question){
        .visit = visit, .done = on_question_done, .free = on_question_free, .asker = asker};
    return errand;
}

static void ask_workers(struct errand *errand, struct ft_worker *worker)
{
    errand->out++;
    errand->refs++;
    note(&errand->order);
    ft_question_ask(&errand->question, worker);
}

/* ---- other nodes ---- */

static void on_nodes(struct ft_letter *letter, struct ft_worker *worker)
{
    struct ft_relay_ask *ask = ft_relay_ask_of(letter);
    struct errand *errand = ask->asker;
    (void)worker;
    errand->outcome.sessions += ask->outcome.sessions;
    errand->outcome.subscriptions += ask->outcome.subscriptions;
    errand->outcome.nodes += ask->outcome.nodes;
    errand->problem = ask->problem;
    ft_relay_ask_free(ask);
    on_answered(errand);
    errand_release(errand);
}

static void on_nodes_dropped(struct ft_letter *letter)
{
    struct ft_relay_ask *ask = ft_relay_ask_of(letter);
    struct errand *errand = ask->asker;
    ft_relay_ask_free(ask);
    errand_release(errand);
}

static void ask_nodes(struct errand *errand, const struct ft_worker *worker)
{
    struct ft_relay_ask *ask = ft_relay_ask_new(worker->index, FT_ASK_ORDER, on_nodes);
    ask->letter.drop = on_nodes_dropped;
    ask->asker = errand;
    errand->out++;
    errand->refs++;
    ft_order_write(&errand->order, &ask->body);
    worker->hub->relay_ops->ask(worker->hub->relay, ask);
}

struct ft_question *ft_control(struct ft_worker *worker, const struct ft_order *order,
                               void (*done)(struct ft_question *question), void *asker)
{
    struct errand *errand = errand_new(order, done, asker);
    if (worker->hub->relay_ops)
        ask_nodes(errand, worker);
    ask_workers(errand, worker);
    return &errand->question;
}

const struct ft_order_outcome *ft_control_outcome(const struct ft_question *question)
{
    return &((const struct errand *)question)->outcome;
}

const struct ft_problem *ft_control_problem(const struct ft_question *question)
{
    return &((const struct errand *)question)->problem;
}

/* ---- for other nodes ---- */

static void on_carried(struct ft_question *question)
{
    struct errand *errand = (struct errand *)question;
    struct ft_hub *hub = question->asker;
    struct ft_relay_ask *ask = errand->carries;
    errand->carries = NULL;
    ask->outcome = errand->outcome;
    hub->relay_ops->ask(hub->relay, ask);
}

/* Where nobody takes the outcome any more. */
static void on_carried_back(struct ft_letter *letter, struct ft_worker *worker)
{
    (void)worker;
    ft_relay_ask_free(ft_relay_ask_of(letter));
}

static void on_foreign(struct ft_letter *letter, struct ft_worker *worker)
{
    struct ft_relay_ask *ask = ft_relay_ask_of(letter);
    struct ft_slice *filters = ft_alloc(FT_ORDER_FILTERS_MAX * sizeof(*filters));
    struct ft_order order;
    struct ft_problem problem;
    ask->letter.open = on_carried_back;
    if (ft_order_read(ft_buffer_slice(&ask->body), &order, filters, &problem) == FT_OK) {
        struct errand *errand = errand_new(&order, on_carried, worker->hub);
        errand->carries = ask;
        ask_workers(errand, worker);
    } else {
        ft_relay_ask_free(ask);
    }
    free(filters);
}

void ft_control_foreign(struct ft_hub *hub, struct ft_relay_ask *ask)
{
    ask->letter.open = on_foreign;
    ft_letter_post(hub, ask->worker, &ask->letter);
}
