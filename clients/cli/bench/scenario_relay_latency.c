/*
 * The row of a publication's way through a cluster: accepted by one node, delivered by another, 1,000 a second,
 * one at a time. Beside it stands PUBLISH to a subscriber of the same Redis, as often and as large, sent and
 * timed by the same loop. Redis and both nodes share the server's core. Runs on the bench's only thread.
 */
#include "clients/cli/bench/load.h"
#include "clients/cli/bench/redis.h"
#include "clients/cli/bench/stats.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TOPIC      "bench/relay"
#define CHANNEL    "bench"
#define DATA_LEN   128
#define PERIOD_NS  1000000
#define SAMPLE_MAX 65536
#define PUBLISH_MS 5000

struct latency {
    struct ft_cluster cluster;
    struct ft_gen
        gens[FT_CLUSTER_NODES]; /* the publisher at the first node, the subscriber at the other */
    struct ft_load load;
    uint8_t *frame;
    struct ft_resp publisher, subscriber; /* bare */
    struct ft_buffer command;
    uint32_t bare_sent;
    uint32_t samples[SAMPLE_MAX]; /* nanoseconds */
    size_t count;
};

/* Publishes through the nodes, and returns when it has arrived, by the clock. */
static enum ft_err pass_nodes(struct latency *latency, uint64_t *arrived_ns,
                              struct ft_problem *problem)
{
    struct ft_gen *from = &latency->gens[0], *to = &latency->gens[1];
    uint64_t oks = from->oks;
    ft_load_put(&latency->load, 0, from->conns[0].sent++, latency->frame);
    enum ft_err err =
        ft_gen_send(from, &from->conns[0], ft_slice(latency->frame, latency->load.frame_size));
    if (err == FT_OK)
        err = ft_gen_await(to, &to->delivered, to->delivered + 1);
    *arrived_ns = ft_clock_mono_ns();
    if (err == FT_OK)
        err = ft_gen_await(from, &from->oks, oks + 1);
    if (err != FT_OK)
        *problem = from->problem.err != FT_OK ? from->problem : to->problem;
    return err;
}

/* Takes the last string of a message: the payload. */
static enum ft_err check_payload(struct latency *latency, struct ft_slice message,
                                 struct ft_problem *problem)
{
    struct ft_slice rest = ft_resp_items(message), payload = ft_slice(NULL, 0);
    uint32_t feed, seq;
    for (int i = 0; i < 3; i++)
        payload = ft_resp_item(&rest);
    if (payload.ptr == NULL || payload.len != DATA_LEN)
        return ft_problem_set(problem, FT_ERR_INTERNAL, "Redis sent no message of %d bytes",
                              DATA_LEN);
    ft_stamp_read(payload.ptr, &feed, &seq);
    if (seq != latency->bare_sent - 1)
        return ft_problem_set(problem, FT_ERR_INTERNAL, "Redis sent %u where %u comes next", seq,
                              latency->bare_sent - 1);
    return FT_OK;
}

/* The same without nodes. */
static enum ft_err pass_bare(struct latency *latency, uint64_t *arrived_ns,
                             struct ft_problem *problem)
{
    struct ft_slice reply;
    uint8_t *payload = latency->command.ptr + latency->command.len - DATA_LEN - 2;
    ft_stamp_put(0, latency->bare_sent++, payload);
    enum ft_err err =
        ft_resp_send(&latency->publisher, ft_buffer_slice(&latency->command), problem);
    if (err == FT_OK)
        err = ft_resp_next(&latency->subscriber, PUBLISH_MS, &reply, problem);
    *arrived_ns = ft_clock_mono_ns();
    if (err == FT_OK)
        err = check_payload(latency, reply, problem);
    if (err == FT_OK)
        err = ft_resp_next(&latency->publisher, PUBLISH_MS, &reply, problem);
    return err;
}

/* Publishes at the ticks of a timer; one that was due earlier counts from then. */
static enum ft_err run_ticks(struct latency *latency, enum ft_side side, int timer_fd,
                             uint64_t end_ns, struct ft_problem *problem)
{
    while (ft_clock_mono_ns() < end_ns && latency->count < SAMPLE_MAX) {
        uint64_t ticks = 0, arrived_ns;
        if (read(timer_fd, &ticks, sizeof(ticks)) != sizeof(ticks))
            return ft_problem_set(problem, FT_ERR_INTERNAL, "cannot wait for a tick: %s",
                                  strerror(errno));
        uint64_t due_ns = ft_clock_mono_ns() - (ticks - 1) * PERIOD_NS;
        enum ft_err err = side == FT_SIDE_BROKER ? pass_nodes(latency, &arrived_ns, problem)
                                                 : pass_bare(latency, &arrived_ns, problem);
        if (err != FT_OK)
            return err;
        latency->samples[latency->count++] = (uint32_t)(arrived_ns - due_ns);
    }
    return FT_OK;
}

static double cpu_ns(const struct latency *latency)
{
    return (double)(ft_stats_cpu_ns(latency->cluster.nodes[0].pid) +
                    ft_stats_cpu_ns(latency->cluster.nodes[1].pid));
}

static enum ft_err run_round(struct ft_bench *bench, const struct ft_duel *duel, enum ft_side side,
                             struct ft_round *round)
{
    struct latency *latency = duel->ctx;
    static const struct itimerspec every = {.it_value.tv_nsec = PERIOD_NS,
                                            .it_interval.tv_nsec = PERIOD_NS};
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (timer_fd < 0 || timerfd_settime(timer_fd, 0, &every, NULL) != 0)
        return ft_problem_set(&bench->problem, FT_ERR_UNAVAILABLE, "cannot make a timer: %s",
                              strerror(errno));
    uint64_t start_ns = ft_clock_mono_ns();
    double before_ns = cpu_ns(latency);
    latency->count = 0;
    enum ft_err err = run_ticks(latency, side, timer_fd, start_ns + (uint64_t)(duel->seconds * 1e9),
                                &bench->problem);
    close(timer_fd);
    if (err != FT_OK)
        return err;
    double wall_ns = (double)(ft_clock_mono_ns() - start_ns);
    round->per_s = (double)latency->count / wall_ns * 1e9;
    round->busy = (cpu_ns(latency) - before_ns) / wall_ns;
    ft_stats_sort(latency->samples, latency->count);
    round->values[0] = ft_stats_quantile(latency->samples, latency->count, 0.5) / 1e3;
    round->values[1] = ft_stats_quantile(latency->samples, latency->count, 0.99) / 1e3;
    return FT_OK;
}

static enum ft_err open_bare(struct latency *latency, struct ft_problem *problem)
{
    uint8_t payload[DATA_LEN];
    struct ft_slice reply;
    const struct ft_slice args[] = {ft_slice_str("PUBLISH"), ft_slice_str(CHANNEL),
                                    ft_slice(payload, sizeof(payload))};
    memset(payload, 'x', sizeof(payload));
    ft_stamp_put(0, 0, payload);
    ft_resp_write(&latency->command, args, 3);
    enum ft_err err = ft_resp_open(&latency->publisher, &latency->cluster.redis.address, problem);
    if (err == FT_OK)
        err = ft_resp_open(&latency->subscriber, &latency->cluster.redis.address, problem);
    return err != FT_OK ? err
                        : ft_resp_ask(&latency->subscriber, "SUBSCRIBE " CHANNEL, &reply, problem);
}

static enum ft_err open_nodes(struct ft_bench *bench, struct latency *latency,
                              enum ft_encoding encoding)
{
    static const struct ft_gen_group groups[FT_CLUSTER_NODES] = {
        {.role = FT_GEN_PUBLISHER, .count = 1},
        {.role = FT_GEN_SUBSCRIBER, .count = 1, .topic = TOPIC}};
    for (uint32_t i = 0; i < FT_CLUSTER_NODES; i++) {
        enum ft_err err = ft_cluster_add(bench, &latency->cluster, i, bench->server_core);
        if (err != FT_OK)
            return err;
        ft_gen_init(&latency->gens[i], &latency->cluster.nodes[i], encoding, 1);
        err = ft_gen_connect(&latency->gens[i], &groups[i]);
        if (err != FT_OK) {
            bench->problem = latency->gens[i].problem;
            return err;
        }
    }
    return FT_OK;
}

static void end_row(struct latency *latency)
{
    for (size_t i = 0; i < FT_CLUSTER_NODES; i++)
        if (latency->gens[i].conns != NULL)
            ft_gen_fini(&latency->gens[i]);
    ft_resp_close(&latency->publisher);
    ft_resp_close(&latency->subscriber);
    ft_cluster_stop(&latency->cluster);
    ft_load_fini(&latency->load);
    ft_buffer_fini(&latency->command);
    free(latency->frame);
    free(latency);
}

enum ft_err ft_row_relay_latency(struct ft_bench *bench)
{
    if (!ft_redis_is_there("relay-latency"))
        return FT_OK;
    struct latency *latency = ft_alloc_zero(sizeof(*latency));
    struct ft_duel duel = {
        .row = "node to node, 1,000/s, 128 B, stored",
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .beside_name = "PUBLISH",
        .seconds = 2 * bench->seconds,
        .ctx = latency,
        .run = run_round,
        .specs = {{"p50 us", FT_TARGET_RATIO_AT_MOST, 2}, {"p99 us", FT_TARGET_RATIO_AT_MOST, 3}},
        .spec_count = 2,
    };
    struct ft_round warm_up;
    ft_buffer_init(&latency->command, 1024);
    ft_load_init(&latency->load, &(struct ft_load_spec){.encoding = duel.encoding,
                                                        .topic = TOPIC,
                                                        .data_len = DATA_LEN,
                                                        .has_id = true});
    latency->frame = ft_alloc(latency->load.frame_size);
    enum ft_err err = ft_cluster_start(bench, &latency->cluster, bench->server_core);
    if (err == FT_OK)
        err = open_bare(latency, &bench->problem);
    if (err == FT_OK)
        err = open_nodes(bench, latency, duel.encoding);
    if (err == FT_OK)
        err = run_round(bench, &duel, FT_SIDE_BROKER, &warm_up);
    if (err == FT_OK)
        err = ft_duel_run(bench, &duel);
    end_row(latency);
    return err;
}
