/*
 * What the generator asks of a broker besides publishing: subscriptions, their end, a sign that all
 * before was handled. Writes envelopes and sends them; the replies are gen.c's. Runs on the bench's
 * only thread.
 */
#include "clients/cli/bench/gen.h"

#include "broker/base/alloc.h"
#include "clients/cli/bench/load.h"
#include "protocol/writer.h"
#include "protocol/ws_frame.h"

/* Room for the longest request: a filter of FT_GEN_TOPIC_MAX and a position. */
#define REQUEST_MAX 512

struct request {
    struct ft_buffer envelope;
    struct ft_writer writer;
};

/* Begins an envelope with `keys` keys behind `op` and `id`. */
static void begin(struct request *request, const struct ft_gen *gen, const char *op, uint32_t keys)
{
    struct ft_writer *writer = &request->writer;
    ft_buffer_init(&request->envelope, REQUEST_MAX - FT_WS_HEADER_MAX);
    ft_writer_init(writer, gen->encoding, &request->envelope);
    ft_write_map(writer, keys + 2);
    ft_write_key(writer, "op");
    ft_write_str(writer, ft_slice_str(op));
    ft_write_key(writer, "id");
    ft_write_uint(writer, 1);
}

static void add_list(struct request *request, const char *key, const char *only_item)
{
    ft_write_key(&request->writer, key);
    ft_write_array(&request->writer, 1);
    ft_write_str(&request->writer, ft_slice_str(only_item));
}

static enum ft_err send_and_end(struct request *request, struct ft_gen *gen,
                                struct ft_gen_conn *conn)
{
    uint8_t frame[REQUEST_MAX];
    FT_ASSERT(!request->envelope.failed);
    size_t len = ft_load_wrap(gen->encoding, ft_buffer_slice(&request->envelope), frame);
    ft_buffer_fini(&request->envelope);
    return ft_gen_send(gen, conn, ft_slice(frame, len));
}

enum ft_err ft_gen_subscribe(struct ft_gen *gen, struct ft_gen_conn *conn, const char *filter,
                             const char *since)
{
    struct request request;
    begin(&request, gen, "sub", since != NULL ? 2 : 1);
    add_list(&request, "topics", filter);
    if (since != NULL)
        add_list(&request, "since", since);
    return send_and_end(&request, gen, conn);
}

enum ft_err ft_gen_unsubscribe(struct ft_gen *gen, struct ft_gen_conn *conn, const char *filter)
{
    struct request request;
    begin(&request, gen, "unsub", 1);
    add_list(&request, "topics", filter);
    return send_and_end(&request, gen, conn);
}

enum ft_err ft_gen_ping(struct ft_gen *gen, struct ft_gen_conn *conn)
{
    struct request request;
    begin(&request, gen, "ping", 0);
    return send_and_end(&request, gen, conn);
}
