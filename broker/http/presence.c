/* GET /v1/presence?topic=…: the answer is the `ok` of a `presence`, without `op` and `id`. The worker's
 * thread. */
#include "broker/hub/presence.h"

#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/http/query.h"

static enum ft_err take(void *context, struct ft_slice name, struct ft_slice value,
                        struct ft_problem *problem)
{
    struct ft_envelope *envelope = context;
    if (!ft_slice_equal(name, ft_slice_str("topic")))
        return FT_OK;
    enum ft_err err = ft_query_once("topic", envelope->topic.ptr, problem);
    envelope->topic = value;
    return err;
}

static struct ft_exchange *exchange_of(struct ft_asker *asker)
{
    return (struct ft_exchange *)((char *)asker - offsetof(struct ft_exchange, asker));
}

static void answered(struct ft_asker *asker, struct ft_id id,
                     const struct ft_presence_answer *answer, const struct ft_problem *problem)
{
    struct ft_exchange *x = exchange_of(asker);
    enum ft_encoding encoding =
        x->response.content_type == ft_negotiate_type(FT_MSGPACK) ? FT_MSGPACK : FT_JSON;
    struct ft_writer w;
    (void)id;
    if (problem) {
        ft_exchange_fail(x, encoding, problem);
        return;
    }
    ft_answer_begin(x, encoding, &w);
    ft_write_map(&w, 2);
    ft_write_key(&w, "count");
    ft_write_uint(&w, answer->count);
    ft_write_key(&w, "clients");
    ft_write_raw(&w, answer->clients);
    ft_answer_end(x);
}

void ft_answer_presence(struct ft_exchange *x, const struct ft_http_request *request)
{
    enum ft_encoding encoding = ft_negotiate_encoding(request->head, FT_JSON);
    struct ft_query query;
    struct ft_envelope envelope = {.op = FT_OP_PRESENCE};
    struct ft_problem problem;
    enum ft_err err = ft_query_walk(&query, request->head, take, &envelope, &problem);
    if (err == FT_OK)
        err = ft_presence_check(&x->asker, &envelope, &problem);
    x->response.content_type = ft_negotiate_type(encoding); /* the request is gone by then */
    if (err == FT_OK)
        err = ft_presence_ask(&x->asker, &envelope, encoding, answered, &problem);
    if (err != FT_OK)
        ft_exchange_problem(x, request, &problem);
}
