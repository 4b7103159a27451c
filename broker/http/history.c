/* GET /v1/history: the query is a `history` envelope, the answer its `ok` without `op` and `id`. In a cluster it
 * may wait until the node has joined the topic's partition. The worker's thread. */
#include "broker/hub/history.h"

#include "broker/base/alloc.h"
#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/http/query.h"
#include "broker/hub/worker.h"

#include <stdlib.h>

/* A request that waits. */
struct waiting {
    struct ft_join_wait join; /* the first field */
    struct ft_exchange *exchange;
    struct ft_partition_set missing;
    struct ft_envelope envelope; /* with what it lends in `text` */
    enum ft_encoding encoding;
    uint8_t text[];
};

static enum ft_err take_text(const char *name, struct ft_slice value, struct ft_slice *field,
                             struct ft_problem *problem)
{
    enum ft_err err = ft_query_once(name, field->ptr, problem);
    *field = value;
    return err;
}

static enum ft_err take_number(const char *name, struct ft_slice value, uint64_t *field, bool *has,
                               struct ft_problem *problem)
{
    enum ft_err err = ft_query_once(name, *has, problem);
    *has = true;
    return err == FT_OK ? ft_query_uint(name, value, field, problem) : err;
}

static enum ft_err take(void *context, struct ft_slice name, struct ft_slice value,
                        struct ft_problem *problem)
{
    struct ft_envelope *envelope = context;
    if (ft_slice_equal(name, ft_slice_str("topic")))
        return take_text("topic", value, &envelope->topic, problem);
    if (ft_slice_equal(name, ft_slice_str("since"))) {
        envelope->has_since_text = true;
        return take_text("since", value, &envelope->since_text, problem);
    }
    if (ft_slice_equal(name, ft_slice_str("last")))
        return take_number("last", value, &envelope->last, &envelope->has_last, problem);
    if (ft_slice_equal(name, ft_slice_str("limit")))
        return take_number("limit", value, &envelope->limit, &envelope->has_limit, problem);
    return FT_OK;
}

static void answer(struct ft_exchange *x, const struct ft_history *history,
                   enum ft_encoding encoding)
{
    struct ft_writer w;
    ft_answer_begin(x, encoding, &w);
    ft_write_map(&w, ft_history_pairs(history));
    ft_history_write(history, &w);
    ft_answer_end(x);
}

/* ---- waiting ---- */

static void free_waiting(struct ft_exchange *x)
{
    struct waiting *waiting = x->state;
    ft_join_wait_end(&waiting->join);
    ft_worker_unwant(x->asker.worker, &waiting->missing);
    free(waiting);
}

static void on_joined(struct ft_join_wait *join)
{
    struct waiting *waiting = (struct waiting *)join;
    struct ft_exchange *x = waiting->exchange;
    struct ft_history *history = NULL;
    struct ft_problem problem;
    enum ft_err err =
        ft_history_find(&x->asker, &waiting->envelope, waiting->encoding, &history, &problem);
    if (err == FT_OK)
        answer(x, history, waiting->encoding);
    else
        ft_exchange_fail(x, waiting->encoding, &problem);
    ft_history_free(history);
}

static struct ft_slice copy(struct ft_slice text, uint8_t *to)
{
    if (text.len > 0)
        memcpy(to, text.ptr, text.len);
    return text.ptr ? ft_slice(to, text.len) : text;
}

/* What the request lends is copied: it is gone by then. */
static void wait_for(struct ft_exchange *x, const struct ft_envelope *envelope,
                     enum ft_encoding encoding, const struct ft_partition_set *missing)
{
    struct waiting *waiting =
        ft_alloc_zero(sizeof(*waiting) + envelope->topic.len + envelope->since_text.len);
    waiting->join.ready = on_joined;
    waiting->exchange = x;
    waiting->missing = *missing;
    waiting->encoding = encoding;
    waiting->envelope = *envelope;
    waiting->envelope.topic = copy(envelope->topic, waiting->text);
    waiting->envelope.since_text = copy(envelope->since_text, waiting->text + envelope->topic.len);
    x->state = waiting;
    x->free_state = free_waiting;
    ft_worker_want(x->asker.worker, missing);
    ft_join_wait_begin(&waiting->join, x->asker.worker, missing);
}

void ft_answer_history(struct ft_exchange *x, const struct ft_http_request *request)
{
    enum ft_encoding encoding = ft_negotiate_encoding(request->head, FT_JSON);
    struct ft_history *history = NULL;
    struct ft_query query;
    struct ft_envelope envelope = {.op = FT_OP_HISTORY};
    struct ft_problem problem;
    struct ft_partition_set missing;
    enum ft_err err = ft_query_walk(&query, request->head, take, &envelope, &problem);
    if (err == FT_OK)
        err = ft_history_check(&x->asker, &envelope, &problem);
    if (err == FT_OK && ft_history_is_missing(&x->asker, &envelope, &missing)) {
        wait_for(x, &envelope, encoding, &missing);
        return;
    }
    if (err == FT_OK)
        err = ft_history_find(&x->asker, &envelope, encoding, &history, &problem);
    if (err == FT_OK)
        answer(x, history, encoding);
    else
        ft_exchange_problem(x, request, &problem);
    ft_history_free(history);
}
