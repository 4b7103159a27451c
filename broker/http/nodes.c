/* GET /v1/nodes: the nodes that are one broker, as the relay knows them; a node on its own lists itself. The
 * worker's thread. */
#include "broker/hub/nodes.h"

#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/hub/worker.h"
#include "protocol/transcode.h"

static void answer_alone(struct ft_exchange *x, enum ft_encoding encoding)
{
    const struct ft_worker *worker = x->asker.worker;
    struct ft_writer w;
    struct ft_node_info self = {
        .name = ft_slice_str(worker->options->node),
        .version = ft_slice_str(FT_VERSION),
        .instance = ft_slice_str(ft_journal_stream(worker->hub->journal)),
        .started_ms = worker->hub->started_ms,
        .connections = ft_hub_connections(worker->hub),
        .is_self = true,
    };
    ft_answer_begin(x, encoding, &w);
    ft_write_map(&w, 1);
    ft_write_key(&w, "nodes");
    ft_write_array(&w, 1);
    ft_node_write(&w, &self, worker->now_ms);
    ft_answer_end(x);
}

/* Passes on what the relay says, which is MessagePack. */
static void pass_on(struct ft_exchange *x, enum ft_encoding encoding, struct ft_slice answer)
{
    struct ft_data data = {.kind = FT_DATA_MSGPACK, .bytes = answer};
    struct ft_buffer *body = &x->response.body;
    enum ft_data_kind kind;
    if (ft_transcode(data, encoding, body, &kind) != FT_OK) {
        ft_exchange_refuse(x, NULL, 500, "the list of nodes cannot be written");
        return;
    }
    if (encoding == FT_JSON)
        ft_buffer_add_str(body, "\n");
    x->response.status = 200;
    x->response.content_type = ft_negotiate_type(encoding);
    ft_exchange_done(x);
}

static void on_answer(struct ft_letter *letter, struct ft_worker *worker)
{
    struct ft_relay_ask *ask = ft_relay_ask_of(letter);
    struct ft_exchange *x = ask->asker;
    (void)worker;
    if (x) {
        enum ft_encoding encoding =
            x->response.content_type == ft_negotiate_type(FT_MSGPACK) ? FT_MSGPACK : FT_JSON;
        x->state = NULL;
        if (ask->problem.err)
            ft_exchange_fail(x, encoding, &ask->problem);
        else
            pass_on(x, encoding, ft_buffer_slice(&ask->answer));
    }
    ft_relay_ask_free(ask);
}

static void abandon(struct ft_exchange *x)
{
    struct ft_relay_ask *ask = x->state;
    if (ask)
        ask->asker = NULL; /* which is the hub's own while the relay has it */
}

void ft_answer_nodes(struct ft_exchange *x, const struct ft_http_request *request)
{
    struct ft_hub *hub = x->asker.worker->hub;
    enum ft_encoding encoding = ft_negotiate_encoding(request->head, FT_JSON);
    if (!hub->relay_ops) {
        answer_alone(x, encoding);
        return;
    }
    struct ft_relay_ask *ask = ft_relay_ask_new(x->asker.worker->index, FT_ASK_NODES, on_answer);
    x->response.content_type = ft_negotiate_type(encoding); /* the request is gone by then */
    x->state = ask;
    x->free_state = abandon;
    ask->asker = x;
    hub->relay_ops->ask(hub->relay, ask);
}
