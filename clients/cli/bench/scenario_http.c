/*
 * Rows of publishing over HTTP, without a subscriber: one publication a request, pipelined and not, and
 * arrays of 100; beside nginx, which answers the same requests with an empty 204. wrk sends them. How
 * far the broker's numbering has moved proves that what it answered it has accepted. Runs on the bench's only
 * thread.
 */
#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/load.h"
#include "clients/cli/bench/wrk.h"

#include "broker/base/alloc.h"
#include "protocol/writer.h"

#include <stdlib.h>

#define TOPIC       "bench/http"
#define DATA_LEN    128
#define CONNECTIONS 32
#define BODY_MAX    65536

struct http {
    struct ft_nginx nginx;
    struct ft_server broker;
    struct ft_gen gen; /* one connection, which asks for the broker's numbering */
    struct ft_load last;
    struct ft_buffer body;
    uint32_t array;    /* publications in a request; 0: a bare one */
    unsigned pipeline; /* requests under way on each connection */
    uint64_t offset;   /* of the last publication that was asked for */
};

static void write_publication(struct ft_writer *writer)
{
    char data[DATA_LEN];
    memset(data, 'x', sizeof(data));
    ft_write_map(writer, 2);
    ft_write_key(writer, "topic");
    ft_write_str(writer, ft_slice_str(TOPIC));
    ft_write_key(writer, "data");
    ft_write_str(writer, ft_slice(data, sizeof(data)));
}

static void make_body(struct http *http)
{
    struct ft_writer writer;
    ft_buffer_init(&http->body, BODY_MAX);
    ft_writer_init(&writer, FT_JSON, &http->body);
    if (http->array > 0)
        ft_write_array(&writer, http->array);
    for (uint32_t i = 0; i < (http->array > 0 ? http->array : 1); i++)
        write_publication(&writer);
    FT_ASSERT(!http->body.failed);
}

static void on_ok(struct ft_gen *gen, struct ft_gen_conn *conn, const struct ft_envelope *env)
{
    struct http *http = gen->ctx;
    const uint8_t *dot = env->pos.ptr ? memrchr(env->pos.ptr, '.', env->pos.len) : NULL;
    (void)conn;
    http->offset = 0;
    for (const uint8_t *c = dot; c != NULL && ++c < env->pos.ptr + env->pos.len;)
        http->offset = http->offset * 10 + (uint64_t)(*c - '0');
}

/* Publishes once more, and takes note of its offset. */
static enum ft_err ask_offset(struct http *http)
{
    struct ft_gen *gen = &http->gen;
    uint8_t *frame = ft_alloc(http->last.frame_size);
    uint64_t oks = gen->oks;
    ft_load_put(&http->last, 0, 0, frame);
    enum ft_err err = ft_gen_send(gen, &gen->conns[0], ft_slice(frame, http->last.frame_size));
    free(frame);
    return err != FT_OK ? err : ft_gen_await(gen, &gen->oks, oks + 1);
}

/* Requests that wrk had under way at its end were accepted too, perhaps. */
static enum ft_err check_accepted(struct http *http, uint64_t before, uint64_t requests)
{
    uint64_t each = http->array > 0 ? http->array : 1;
    uint64_t accepted = http->offset - before - 1;
    uint64_t most = requests + (uint64_t)CONNECTIONS * http->pipeline;
    if (accepted >= requests * each && accepted <= most * each)
        return FT_OK;
    return ft_gen_fail(&http->gen, FT_ERR_INTERNAL,
                       "%llu requests were answered, and %llu publications accepted",
                       (unsigned long long)requests, (unsigned long long)accepted);
}

static enum ft_err run_round(struct ft_bench *bench, const struct ft_duel *duel, enum ft_side side,
                             struct ft_round *round)
{
    struct http *http = duel->ctx;
    bool is_broker = side == FT_SIDE_BROKER;
    uint64_t before = http->offset;
    struct ft_wrk_result result;
    struct ft_wrk_options options = {
        .server = is_broker ? &http->broker : &http->nginx.server,
        .nginx = &http->nginx,
        .core = bench->generator_core,
        .connections = CONNECTIONS,
        .pipeline = http->pipeline,
        .seconds = duel->seconds < 1 ? 1 : (unsigned)duel->seconds,
        .body = ft_buffer_slice(&http->body),
    };
    enum ft_err err = ft_wrk_run(&options, &result, &bench->problem);
    if (err != FT_OK)
        return err;
    double each = http->array > 0 ? http->array : 1;
    round->per_s = result.per_s * each;
    round->busy = result.busy;
    round->values[0] = round->per_s;
    round->values[1] = result.cpu_ns / 1000 / ((double)result.requests * each);
    if (!is_broker)
        return FT_OK;
    err = ask_offset(http);
    if (err == FT_OK)
        err = check_accepted(http, before, result.requests);
    bench->problem = http->gen.problem;
    return err;
}

static enum ft_err open_both(struct ft_bench *bench, struct http *http)
{
    static const struct ft_gen_hooks hooks = {.on_ok = on_ok};
    enum ft_err err = ft_nginx_start(&http->nginx, bench->server_core, &bench->problem);
    if (err == FT_OK)
        err = ft_bench_start_broker(bench, &http->broker, NULL);
    if (err != FT_OK)
        return err;
    ft_gen_init(&http->gen, &http->broker, FT_JSON, 1);
    http->gen.hooks = &hooks;
    http->gen.ctx = http;
    err = ft_gen_connect(&http->gen, &(struct ft_gen_group){.role = FT_GEN_PUBLISHER, .count = 1});
    if (err == FT_OK)
        err = ask_offset(http);
    bench->problem = http->gen.problem;
    return err;
}

static enum ft_err run_row(struct ft_bench *bench, const char *row, struct http http,
                           struct ft_figure_spec figure)
{
    struct ft_round warm_up;
    struct ft_duel duel = {
        .row = row,
        .encoding = FT_JSON,
        .beside_name = "nginx 204",
        .seconds = bench->seconds,
        .ctx = &http,
        .run = run_round,
        .specs = {figure, {"CPU s/M publications", FT_TARGET_NONE, 0}},
        .spec_count = 2,
    };
    make_body(&http);
    ft_load_init(&http.last,
                 &(struct ft_load_spec){
                     .encoding = FT_JSON, .topic = TOPIC, .data_len = DATA_LEN, .has_id = true});
    enum ft_err err = open_both(bench, &http);
    for (enum ft_side side = FT_SIDES; side-- > 0 && err == FT_OK;)
        err = run_round(bench, &duel, side, &warm_up);
    if (err == FT_OK)
        err = ft_duel_run(bench, &duel);
    if (http.gen.conns != NULL)
        ft_gen_fini(&http.gen);
    ft_server_stop(&http.broker);
    ft_nginx_stop(&http.nginx);
    ft_load_fini(&http.last);
    ft_buffer_fini(&http.body);
    return err;
}

enum ft_err ft_row_http_publish(struct ft_bench *bench)
{
    static const struct ft_figure_spec figure = {"requests/s", FT_TARGET_RATIO_AT_LEAST, 0.5};
    if (!ft_wrk_is_there("http-publish"))
        return FT_OK;
    enum ft_err err = run_row(bench, "HTTP, 1 publication of 128 B a request, in turn",
                              (struct http){.pipeline = 1}, figure);
    return err != FT_OK ? err
                        : run_row(bench, "the same, 16 requests pipelined",
                                  (struct http){.pipeline = 16}, figure);
}

enum ft_err ft_row_http_batch(struct ft_bench *bench)
{
    if (!ft_wrk_is_there("http-batch"))
        return FT_OK;
    return run_row(bench, "HTTP, arrays of 100", (struct http){.array = 100, .pipeline = 1},
                   (struct ft_figure_spec){"publications/s", FT_TARGET_AT_LEAST, 300e3});
}
