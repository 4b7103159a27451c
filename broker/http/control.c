/*
 * POST /v1/disconnect and POST /v1/unsubscribe: an operator's orders (hub/control.h). The answer comes when all
 * workers of all nodes have carried one out. The worker's thread.
 */
#include "broker/hub/control.h"

#include "broker/base/alloc.h"
#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/hub/worker.h"
#include "protocol/topic.h"
#include "protocol/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

/* An order as it lies in a body. */
struct control {
    struct ft_envelope envelope;
    struct ft_order order;
    struct ft_slice *filters;
    uint8_t *scratch, *texts; /* texts: of the filters */
};

static enum ft_err read_body(enum ft_encoding encoding, struct ft_slice body,
                             struct control *control, struct ft_problem *problem)
{
    struct ft_reader reader;
    if (encoding == FT_JSON && !ft_utf8_is_valid(body))
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "the body is JSON that is not UTF-8");
    control->scratch = ft_alloc(body.len + 1);
    enum ft_err err = ft_reader_begin(&reader, encoding, body, control->scratch, problem);
    if (err == FT_OK && ft_reader_is_array(&reader))
        return ft_problem_set(problem, FT_ERR_BAD_ENVELOPE, "the body must be one map");
    return err == FT_OK ? ft_reader_next(&reader, &control->envelope, problem) : err;
}

static enum ft_err read_filters(struct control *control, struct ft_problem *problem)
{
    const struct ft_list *list = &control->envelope.topics;
    if (list->count > FT_ORDER_FILTERS_MAX)
        return ft_problem_set(problem, FT_ERR_TOO_MANY,
                              "topics has %u filters, but %d are the most", list->count,
                              FT_ORDER_FILTERS_MAX);
    control->filters = ft_alloc(list->count * sizeof(*control->filters) + 1);
    control->texts = ft_alloc(list->count * (size_t)FT_TOPIC_BYTES_MAX + 1);
    size_t at = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (ft_list_next(list, &at, control->texts + i * (size_t)FT_TOPIC_BYTES_MAX,
                         FT_TOPIC_BYTES_MAX, &control->filters[i]) != FT_OK)
            return ft_problem_set(problem, FT_ERR_BAD_FILTER,
                                  "filter %u of topics is longer than %d bytes", i + 1,
                                  FT_TOPIC_BYTES_MAX);
    }
    control->order.filters = control->filters;
    control->order.filter_count = list->count;
    return FT_OK;
}

static enum ft_err read_order(enum ft_encoding encoding, struct ft_slice body,
                              struct control *control, struct ft_problem *problem)
{
    enum ft_err err = read_body(encoding, body, control, problem);
    if (err == FT_OK && control->order.kind == FT_ORDER_UNSUBSCRIBE)
        err = read_filters(control, problem);
    control->order.user = control->envelope.user;
    control->order.session = control->envelope.session;
    return err == FT_OK ? ft_order_check(&control->order, problem) : err;
}

static void write_count(struct ft_writer *w, const char *key, uint64_t n)
{
    ft_write_key(w, key);
    ft_write_uint(w, n);
}

/* Not all nodes have carried it out, or nobody knows; what is known is said. Repeating an order is harmless. */
static void refuse(struct ft_exchange *x, enum ft_encoding encoding,
                   const struct ft_order_outcome *outcome, const struct ft_problem *why)
{
    struct ft_problem problem;
    (void)ft_problem_set(&problem, why->err,
                         "carried out by %u node%s, on %" PRIu64 " session%s, but %s",
                         outcome->nodes, outcome->nodes == 1 ? "" : "s", outcome->sessions,
                         outcome->sessions == 1 ? "" : "s", why->text);
    problem.retry_ms = why->retry_ms;
    ft_exchange_fail(x, encoding, &problem);
}

static void answer(struct ft_question *question, bool with_subscriptions)
{
    struct ft_exchange *x = question->asker;
    const struct ft_order_outcome *outcome = ft_control_outcome(question);
    const struct ft_problem *problem = ft_control_problem(question);
    enum ft_encoding encoding =
        x->response.content_type == ft_negotiate_type(FT_MSGPACK) ? FT_MSGPACK : FT_JSON;
    struct ft_writer w;
    x->state = NULL; /* the question goes by itself */
    if (problem->err) {
        refuse(x, encoding, outcome, problem);
        return;
    }
    ft_answer_begin(x, encoding, &w);
    ft_write_map(&w, with_subscriptions ? 3 : 2);
    write_count(&w, "sessions", outcome->sessions);
    if (with_subscriptions)
        write_count(&w, "subscriptions", outcome->subscriptions);
    write_count(&w, "nodes", outcome->nodes);
    ft_answer_end(x);
}

static void on_disconnected(struct ft_question *question)
{
    answer(question, false);
}

static void on_unsubscribed(struct ft_question *question)
{
    answer(question, true);
}

static void abandon(struct ft_exchange *x)
{
    if (x->state)
        ft_question_abandon(x->state);
}

static void carry_out(struct ft_exchange *x, const struct ft_http_request *request,
                      enum ft_order_kind kind, void (*done)(struct ft_question *question))
{
    enum ft_encoding encoding;
    struct ft_problem problem;
    struct control control = {.order = {.kind = kind}};
    if (!ft_answer_body_encoding(x, request, &encoding))
        return;
    if (read_order(encoding, request->body, &control, &problem) == FT_OK) {
        /* Noted here, as the request is gone by then. */
        x->response.content_type = ft_negotiate_type(ft_negotiate_encoding(request->head, FT_JSON));
        x->free_state = abandon;
        x->state = ft_control(x->asker.worker, &control.order, done, x);
    } else {
        ft_exchange_problem(x, request, &problem);
    }
    free(control.scratch);
    free(control.filters);
    free(control.texts);
}

void ft_answer_disconnect(struct ft_exchange *x, const struct ft_http_request *request)
{
    carry_out(x, request, FT_ORDER_DISCONNECT, on_disconnected);
}

void ft_answer_unsubscribe(struct ft_exchange *x, const struct ft_http_request *request)
{
    carry_out(x, request, FT_ORDER_UNSUBSCRIBE, on_unsubscribed);
}
