/*
 * The row of connections that do nothing: each subscribed to a topic of its own. What one costs in
 * memory, and what all of them cost in CPU: while nothing happens, and with each being sent one ping,
 * which it answers. At the end each gets one publication, which proves that all of them were there.
 * Runs on the bench's only thread.
 */
#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/load.h"
#include "clients/cli/bench/stats.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define TOPIC   "bench/idle"
#define PING_S  25 /* the broker's default keep-alive interval */
#define QUIET_S 15 /* before the first ping, even if it took some seconds to connect all */
#define SLACK_S 2  /* the last ping may be late by the coarseness of a timer */
#define FDS_OWN 64 /* what both processes need besides connections */
#define BURST   32 /* publications under way at once */

struct idle {
    double rss_kb;                 /* of one connection */
    double quiet_percent, percent; /* of the core: nothing happens; one keep-alive interval */
};

/* Lets the generator answer pings for so long. */
static enum ft_err rest(struct ft_gen *gen, double seconds)
{
    enum ft_err err = FT_OK;
    uint64_t end_ms = ft_clock_mono_ms() + (uint64_t)(seconds * 1000), now_ms;
    while (err == FT_OK && (now_ms = ft_clock_mono_ms()) < end_ms)
        err = ft_gen_poll(gen, (int)(end_ms - now_ms));
    return err;
}

static enum ft_err publish_to_all(struct ft_gen *gen, uint32_t connections)
{
    struct ft_gen_conn *publisher = &gen->conns[gen->count - 1];
    uint64_t before = gen->delivered;
    enum ft_err err = FT_OK;
    for (uint32_t i = 0; i < connections && err == FT_OK; i++) {
        char topic[FT_GEN_TOPIC_MAX];
        struct ft_load load;
        ft_gen_topic(TOPIC, i, topic);
        ft_load_init(&load, &(struct ft_load_spec){.encoding = gen->encoding,
                                                   .topic = topic,
                                                   .data_len = FT_STAMP_LEN});
        uint8_t *frame = ft_alloc(load.frame_size);
        ft_load_put(&load, i, 0, frame);
        err = ft_gen_send(gen, publisher, ft_slice(frame, load.frame_size));
        free(frame);
        ft_load_fini(&load);
        if (err == FT_OK && i % BURST == BURST - 1)
            err = ft_gen_await(gen, &gen->delivered, before + i + 1);
    }
    return err != FT_OK ? err : ft_gen_await(gen, &gen->delivered, before + connections);
}

/* Measures until each connection was pinged once: what that cost is the cost of one interval. */
static enum ft_err measure_cpu(struct ft_gen *gen, uint32_t connections, struct idle *idle)
{
    pid_t pid = gen->server->pid;
    uint64_t cpu_ns = ft_stats_cpu_ns(pid);
    enum ft_err err = rest(gen, QUIET_S);
    idle->quiet_percent = (double)(ft_stats_cpu_ns(pid) - cpu_ns) / (QUIET_S * 1e7);
    if (err == FT_OK)
        err = rest(gen, PING_S + SLACK_S - QUIET_S);
    idle->percent = (double)(ft_stats_cpu_ns(pid) - cpu_ns) / (PING_S * 1e7);
    if (err == FT_OK && gen->pings < connections)
        err = ft_gen_fail(gen, FT_ERR_TIMEOUT, "%llu pings in %d s for %u connections",
                          (unsigned long long)gen->pings, PING_S + SLACK_S, connections);
    return err;
}

/* Measures one server. The first reading is after one connection, for what the first one alone costs. */
static enum ft_err measure(struct ft_gen *gen, uint32_t connections, struct idle *idle)
{
    const struct ft_gen_group warm_up = {
        .role = FT_GEN_SUBSCRIBER, .count = 1, .topic = "bench/warm"};
    const struct ft_gen_group all = {
        .role = FT_GEN_SUBSCRIBER, .count = connections, .topic = TOPIC, .is_numbered = true};
    const struct ft_gen_group publisher = {.role = FT_GEN_PUBLISHER, .count = 1};
    pid_t pid = gen->server->pid;
    enum ft_err err = gen->server->is_floor ? FT_OK : ft_gen_connect(gen, &warm_up);
    uint64_t rss = ft_stats_rss_bytes(pid);
    if (err == FT_OK)
        err = ft_gen_connect(gen, &all);
    if (err == FT_OK)
        err = rest(gen, 0.5); /* what the broker still does for the last ones */
    if (err != FT_OK)
        return err;
    idle->rss_kb = ((double)ft_stats_rss_bytes(pid) - (double)rss) / 1024 / connections;
    if (gen->server->is_floor)
        return FT_OK;
    err = measure_cpu(gen, connections, idle);
    if (err != FT_OK)
        return err;
    err = ft_gen_connect(gen, &publisher);
    return err != FT_OK ? err : publish_to_all(gen, connections);
}

/* The generator and the server each need a descriptor for every connection. */
static uint32_t bounded_connections(uint32_t wanted)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || wanted + FDS_OWN <= files.rlim_cur)
        return wanted;
    uint32_t most = files.rlim_cur > FDS_OWN ? (uint32_t)files.rlim_cur - FDS_OWN : 0;
    fprintf(stderr,
            "fantail bench: %u connections instead of %u: the limit of open files is %llu\n", most,
            wanted, (unsigned long long)files.rlim_cur);
    return most;
}

static enum ft_err run_side(struct ft_bench *bench, struct ft_server *server,
                            enum ft_encoding encoding, uint32_t connections, struct idle *idle)
{
    struct ft_gen gen;
    ft_gen_init(&gen, server, encoding, connections + 2);
    enum ft_err err = measure(&gen, connections, idle);
    if (err != FT_OK)
        bench->problem = gen.problem;
    ft_gen_fini(&gen);
    ft_server_stop(server);
    return err;
}

enum ft_err ft_row_idle(struct ft_bench *bench)
{
    enum ft_encoding encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON;
    uint32_t connections = bounded_connections(bench->connections);
    struct ft_floor_plan plan = {.kind = FT_FLOOR_SINK, .subscribers = connections, .burst = 1};
    struct idle broker, floor;
    struct ft_server server;
    enum ft_err err = ft_floor_start(&server, &plan, bench->server_core, &bench->problem);
    if (err == FT_OK)
        err = run_side(bench, &server, encoding, connections, &floor);
    if (err == FT_OK)
        err = ft_bench_start_broker(bench, &server, NULL);
    if (err == FT_OK)
        err = run_side(bench, &server, encoding, connections, &broker);
    if (err != FT_OK)
        return err;

    static char row[64];
    snprintf(row, sizeof(row), "%u idle connections, a topic each", connections);
    struct ft_figure figure = {.row = row,
                               .encoding = ft_bench_encoding(encoding),
                               .spec = {"RSS KB a connection", FT_TARGET_AT_MOST, 2.5},
                               .beside_name = "floor",
                               .broker = broker.rss_kb,
                               .beside = floor.rss_kb};
    ft_bench_add(bench, &figure);
    figure.beside_name = NULL; /* it does nothing at all while nobody sends */
    figure.spec = (struct ft_figure_spec){"CPU %, pings included", FT_TARGET_AT_MOST, 0.5};
    figure.broker = broker.percent;
    ft_bench_add(bench, &figure);
    figure.spec = (struct ft_figure_spec){"CPU % between pings", FT_TARGET_NONE, 0};
    figure.broker = broker.quiet_percent;
    ft_bench_add(bench, &figure);
    return FT_OK;
}
