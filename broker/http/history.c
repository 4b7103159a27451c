/* GET /v1/history: the query is a `history` envelope, the answer its `ok` without `op` and `id`. The worker's
 * thread. */
#include "broker/hub/history.h"

#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/http/query.h"

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

static enum ft_err take(struct ft_envelope *envelope, struct ft_slice name, struct ft_slice value,
                        struct ft_problem *problem)
{
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

static enum ft_err read_query(struct ft_query *query, const struct ft_http_head *head,
                              struct ft_envelope *envelope, struct ft_problem *problem)
{
    struct ft_slice name, value;
    enum ft_err err;
    *envelope = (struct ft_envelope){.op = FT_OP_HISTORY};
    ft_query_begin(query, head);
    while ((err = ft_query_read(query, &name, &value, problem)) == FT_OK) {
        err = take(envelope, name, value, problem);
        if (err != FT_OK)
            return err;
    }
    return err == FT_ERR_NOT_FOUND ? FT_OK : err;
}

void ft_answer_history(struct ft_exchange *x, const struct ft_http_request *request)
{
    enum ft_encoding encoding = ft_negotiate_encoding(request->head, FT_JSON);
    struct ft_history *history = NULL;
    struct ft_query query;
    struct ft_envelope envelope;
    struct ft_problem problem;
    enum ft_err err = read_query(&query, request->head, &envelope, &problem);
    if (err == FT_OK)
        err = ft_history_find(&x->asker, &envelope, encoding, &history, &problem);
    if (err != FT_OK) {
        ft_exchange_problem(x, request, &problem);
        return;
    }
    struct ft_writer w;
    ft_answer_begin(x, encoding, &w);
    ft_write_map(&w, ft_history_pairs(history));
    ft_history_write(history, &w);
    ft_answer_end(x);
    ft_history_free(history);
}
