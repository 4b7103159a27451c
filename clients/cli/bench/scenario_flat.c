/*
 * The row without subscribers: 10 publishers write as fast as the server reads, without ids, and each
 * ends with a ping, whose `ok` says that all before it was handled. The offset of one last publication
 * then proves that the broker accepted every one of them. Runs on the bench's only thread.
 */
#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/load.h"

#include "broker/base/alloc.h"
#include "protocol/writer.h"
#include "protocol/ws_frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define TOPIC       "bench/flat"
#define PUBLISHERS  10
#define DATA_LEN    128
#define CHUNK_BYTES 65536 /* written at once: what a socket takes in one piece */
#define BARRIER_MAX 64

struct flat {
    struct ft_load load, last; /* last: the publication with an id */
    uint32_t array;            /* envelopes in a message; 0: bare ones */
    uint8_t *chunk;            /* whole messages */
    size_t chunk_len;
    uint32_t chunk_publications;
    uint8_t barrier[BARRIER_MAX];
    size_t barrier_len;
    const struct ft_meter *meter;
    uint64_t published;    /* in this round */
    size_t at[PUBLISHERS]; /* how much of its chunk each publisher has written */
};

/* Writes as much as the socket takes; at the end of a chunk, when the time is over, the barrier. */
static void on_writable(struct ft_gen *gen, struct ft_gen_conn *publisher)
{
    struct flat *flat = gen->ctx;
    size_t *at = &flat->at[publisher->feed];
    while (gen->problem.err == FT_OK) {
        if (*at == flat->chunk_len) {
            *at = 0;
            flat->published += flat->chunk_publications;
        }
        if (*at == 0 && ft_meter_is_over(flat->meter)) {
            ft_gen_watch_writable(gen, publisher, false);
            (void)ft_gen_send(gen, publisher, ft_slice(flat->barrier, flat->barrier_len));
            return;
        }
        ssize_t n = send(publisher->fd, flat->chunk + *at, flat->chunk_len - *at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "publisher %u cannot send: %s", publisher->feed,
                        strerror(errno));
        else
            *at += (size_t)n;
    }
}

/* Takes the offset from the `pos` of the last publication's ok: so many the broker has accepted. */
static void on_ok(struct ft_gen *gen, struct ft_gen_conn *publisher, const struct ft_envelope *env)
{
    if (gen->server->is_floor || env->pos.ptr == NULL)
        return;
    const uint8_t *dot = memrchr(env->pos.ptr, '.', env->pos.len);
    uint64_t offset = 0;
    for (const uint8_t *c = dot; c != NULL && ++c < env->pos.ptr + env->pos.len;)
        offset = offset * 10 + (uint64_t)(*c - '0');
    publisher->sent = (uint32_t)offset;
}

/* Asks the broker how many publications it has accepted, and compares. */
static enum ft_err check_accepted(struct ft_gen *gen, struct flat *flat)
{
    uint8_t *frame = ft_alloc(flat->last.frame_size);
    struct ft_gen_conn *publisher = &gen->conns[0];
    uint32_t before = publisher->sent;
    uint64_t oks = gen->oks;
    ft_load_put(&flat->last, 0, 0, frame);
    enum ft_err err = ft_gen_send(gen, publisher, ft_slice(frame, flat->last.frame_size));
    free(frame);
    if (err == FT_OK)
        err = ft_gen_await(gen, &gen->oks, oks + 1);
    uint32_t accepted = publisher->sent - before - 1;
    if (err == FT_OK && accepted != (uint32_t)flat->published)
        err = ft_gen_fail(gen, FT_ERR_INTERNAL, "%llu publications were sent, %u accepted",
                          (unsigned long long)flat->published, accepted);
    return err;
}

static enum ft_err run_flat(struct ft_gen *gen, void *ctx, double seconds, struct ft_round *round)
{
    struct flat *flat = ctx;
    struct ft_meter meter;
    uint64_t oks = gen->oks;
    flat->meter = &meter;
    flat->published = 0;
    ft_meter_begin(&meter, gen, seconds);
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        ft_gen_watch_writable(gen, &gen->conns[i], true);
    while (!ft_meter_is_over(&meter)) {
        enum ft_err err = ft_gen_poll(gen, FT_GEN_STALL_MS);
        if (err != FT_OK)
            return err;
    }
    enum ft_err err = ft_gen_await(gen, &gen->oks, oks + PUBLISHERS);
    if (err != FT_OK)
        return err;
    round->values[1] = ft_meter_end(&meter, gen, flat->published, round);
    round->values[0] = round->per_s;
    return gen->server->is_floor ? FT_OK : check_accepted(gen, flat);
}

static void make_barrier(struct flat *flat, enum ft_encoding encoding)
{
    struct ft_buffer envelope;
    struct ft_writer writer;
    ft_buffer_init(&envelope, BARRIER_MAX - FT_WS_HEADER_MAX);
    ft_writer_init(&writer, encoding, &envelope);
    ft_write_map(&writer, 2);
    ft_write_key(&writer, "op");
    ft_write_str(&writer, ft_slice_str("ping"));
    ft_write_key(&writer, "id");
    ft_write_uint(&writer, 1);
    flat->barrier_len = ft_load_wrap(encoding, ft_buffer_slice(&envelope), flat->barrier);
    ft_buffer_fini(&envelope);
}

static void prepare(struct flat *flat, enum ft_encoding encoding)
{
    struct ft_load_spec spec = {
        .encoding = encoding, .topic = TOPIC, .data_len = DATA_LEN, .array = flat->array};
    ft_load_init(&flat->load, &spec);
    spec.array = 0;
    spec.has_id = true;
    ft_load_init(&flat->last, &spec);
    uint32_t messages = (uint32_t)(CHUNK_BYTES / flat->load.frame_size);
    flat->chunk_publications = messages * (flat->array > 0 ? flat->array : 1);
    flat->chunk_len = messages * flat->load.frame_size;
    flat->chunk = ft_alloc(flat->chunk_len);
    uint8_t *end = flat->chunk;
    for (uint32_t i = 0; i < messages; i++)
        end = ft_load_put(&flat->load, 0, i, end);
    make_barrier(flat, encoding);
}

static enum ft_err run_row(struct ft_bench *bench, const char *row, enum ft_encoding encoding,
                           uint32_t array, double target)
{
    static const struct ft_gen_hooks hooks = {.on_ok = on_ok, .on_writable = on_writable};
    struct flat flat = {.array = array};
    prepare(&flat, encoding);
    struct ft_contest contest = {
        .row = row,
        .encoding = encoding,
        .groups = {{.role = FT_GEN_PUBLISHER, .count = PUBLISHERS}},
        .group_count = 1,
        .floor = {.kind = FT_FLOOR_SINK,
                  .publishers = PUBLISHERS,
                  .burst = 1,
                  .barrier = ft_slice(flat.barrier, flat.barrier_len)},
        .has_ok = true,
        .hooks = &hooks,
        .ctx = &flat,
        .seconds = bench->seconds,
        .run = run_flat,
        .specs = {{"publications/s", target > 0 ? FT_TARGET_AT_LEAST : FT_TARGET_NONE, target},
                  {"CPU s/M publications", FT_TARGET_NONE, 0}},
        .spec_count = 2,
    };
    enum ft_err err = ft_contest_run(bench, &contest);
    ft_load_fini(&flat.load);
    ft_load_fini(&flat.last);
    free(flat.chunk);
    return err;
}

enum ft_err ft_row_flat(struct ft_bench *bench)
{
    static const double targets[FT_ENCODINGS] = {[FT_JSON] = 0.7e6, [FT_MSGPACK] = 1e6};
    for (enum ft_encoding encoding = FT_JSON; encoding < FT_ENCODINGS; encoding++) {
        enum ft_err err = run_row(bench, "10 publishers flat out, 128 B, no subscriber", encoding,
                                  0, targets[encoding]);
        if (err == FT_OK)
            err = run_row(bench, "the same, arrays of 32", encoding, 32, 0);
        if (err != FT_OK)
            return err;
    }
    return FT_OK;
}
