/*
 * The row of losses between Redis and a node: how soon the subscriber has what was lost. A publication is lost
 * when the script stores it but publishes it to a channel that nobody hears; or when Redis cuts the channels'
 * connections just before. On a quiet partition the node learns of it by its beat, once a second; on a busy
 * one by the next publication, and then what it takes longer than usual stands beside the round trip of a
 * read of the stream. Redis and the node share the server's core. Runs on the bench's only thread.
 */
#include "clients/cli/bench/load.h"
#include "clients/cli/bench/redis.h"
#include "clients/cli/bench/stats.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define TOPIC       "bench/relay"
#define LOST        "nobody" /* a channel */
#define DATA_LEN    128
#define COMMAND_MAX 4096
#define TRIPS       200
#define SAMPLES     50
#define QUIET       2 /* losses of a round */
#define ANSWER_MS   5000

struct heal {
    struct ft_cluster cluster;
    struct ft_gen gen;
    struct ft_buffer burst; /* commands that are sent at once */
    uint32_t sequence;
    uint32_t answers; /* that are due */
};

/* Adds a call of the script with the next publication. */
static void add_publication(struct heal *heal, const char *channel)
{
    struct ft_slice args[FT_SCRIPT_ARGS];
    struct ft_buffer entry;
    ft_buffer_init(&entry, COMMAND_MAX);
    size_t stamp_at = ft_script_add_entry(&entry, TOPIC, DATA_LEN);
    ft_stamp_put(0, heal->sequence++, entry.ptr + stamp_at);
    ft_script_args(&heal->cluster, channel, "1", ft_buffer_slice(&entry), args);
    ft_resp_write(&heal->burst, args, FT_SCRIPT_ARGS);
    ft_buffer_fini(&entry);
    heal->answers++;
}

static void add_cut(struct heal *heal)
{
    const struct ft_slice args[] = {ft_slice_str("CLIENT"), ft_slice_str("KILL"),
                                    ft_slice_str("TYPE"), ft_slice_str("pubsub")};
    ft_resp_write(&heal->burst, args, 4);
    heal->answers++;
}

/* Sends what was added, and measures until the subscriber has all of it, in order. */
static enum ft_err run_burst(struct heal *heal, double *us, struct ft_problem *problem)
{
    struct ft_gen *gen = &heal->gen;
    struct ft_slice reply;
    uint64_t start_ns = ft_clock_mono_ns();
    enum ft_err err = ft_resp_send(&heal->cluster.client, ft_buffer_slice(&heal->burst), problem);
    if (err == FT_OK)
        err = ft_gen_await(gen, &gen->delivered, heal->sequence);
    *us = (double)(ft_clock_mono_ns() - start_ns) / 1e3;
    if (gen->problem.err != FT_OK)
        *problem = gen->problem;
    for (; err == FT_OK && heal->answers > 0; heal->answers--) {
        err = ft_resp_next(&heal->cluster.client, ANSWER_MS, &reply, problem);
        if (err == FT_OK && (reply.ptr == NULL || reply.ptr[0] == '-'))
            err = ft_problem_set(problem, FT_ERR_INTERNAL, "Redis failed: %.*s", (int)reply.len,
                                 (const char *)reply.ptr);
    }
    ft_buffer_clear(&heal->burst);
    return err;
}

/* The median of several bursts of two publications, the first of them lost or not. */
static enum ft_err run_bursts(struct heal *heal, const char *channel, double *us,
                              struct ft_problem *problem)
{
    double all[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        add_publication(heal, channel);
        add_publication(heal, FT_SCRIPT_CHANNEL);
        enum ft_err err = run_burst(heal, &all[i], problem);
        if (err != FT_OK)
            return err;
    }
    *us = ft_stats_median(all, SAMPLES);
    return FT_OK;
}

static enum ft_err measure_trip(struct heal *heal, double *us, struct ft_problem *problem)
{
    double all[TRIPS];
    struct ft_slice reply;
    for (size_t i = 0; i < TRIPS; i++) {
        uint64_t start_ns = ft_clock_mono_ns();
        enum ft_err err =
            ft_resp_ask(&heal->cluster.client, "XREVRANGE " FT_SCRIPT_CHANNEL ":log + - COUNT 2",
                        &reply, problem);
        if (err != FT_OK)
            return err;
        all[i] = (double)(ft_clock_mono_ns() - start_ns) / 1e3;
    }
    *us = ft_stats_median(all, TRIPS);
    return FT_OK;
}

static enum ft_err run_round(struct ft_bench *bench, const struct ft_duel *duel, enum ft_side side,
                             struct ft_round *round)
{
    struct heal *heal = duel->ctx;
    struct ft_problem *problem = &bench->problem;
    double usual = 0, healed = 0, quiet = 0;
    if (side == FT_SIDE_BESIDE)
        return measure_trip(heal, &round->values[0], problem);
    enum ft_err err = run_bursts(heal, FT_SCRIPT_CHANNEL, &usual, problem);
    if (err == FT_OK)
        err = run_bursts(heal, LOST, &healed, problem);
    round->values[0] = healed - usual;
    for (int i = 0; i < QUIET && err == FT_OK; i++) {
        add_publication(heal, LOST);
        err = run_burst(heal, &quiet, problem);
        if (quiet / 1e3 > round->values[1])
            round->values[1] = quiet / 1e3;
    }
    if (err != FT_OK)
        return err;
    add_cut(heal);
    add_publication(heal, FT_SCRIPT_CHANNEL);
    err = run_burst(heal, &quiet, problem);
    round->values[2] = quiet / 1e3;
    return err;
}

static enum ft_err open_row(struct ft_bench *bench, struct heal *heal, enum ft_encoding encoding)
{
    enum ft_err err = ft_cluster_start(bench, &heal->cluster, bench->server_core);
    if (err == FT_OK)
        err = ft_cluster_load_script(&heal->cluster, &bench->problem);
    if (err == FT_OK)
        err = ft_cluster_add(bench, &heal->cluster, 0, bench->server_core);
    if (err != FT_OK)
        return err;
    ft_gen_init(&heal->gen, &heal->cluster.nodes[0], encoding, 1);
    err = ft_gen_connect(
        &heal->gen, &(struct ft_gen_group){.role = FT_GEN_SUBSCRIBER, .count = 1, .topic = TOPIC});
    if (err != FT_OK)
        bench->problem = heal->gen.problem;
    return err;
}

enum ft_err ft_row_relay_heal(struct ft_bench *bench)
{
    if (!ft_redis_is_there("relay-heal"))
        return FT_OK;
    struct heal *heal = ft_alloc_zero(sizeof(*heal));
    struct ft_round warm_up = {.per_s = 0};
    struct ft_duel duel = {
        .row = "a publication that the relay lost is there",
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .beside_name = "XREVRANGE",
        .ctx = heal,
        .run = run_round,
        .specs = {{"busy: us later", FT_TARGET_RATIO_AT_MOST, 1},
                  {"quiet: ms", FT_TARGET_AT_MOST, 1500},
                  {"connection cut: ms", FT_TARGET_AT_MOST, 1500}},
        .spec_count = 3,
        .alone_count = 2,
    };
    ft_buffer_init(&heal->burst, 2 * COMMAND_MAX);
    enum ft_err err = open_row(bench, heal, duel.encoding);
    if (err == FT_OK)
        err = run_bursts(heal, FT_SCRIPT_CHANNEL, &warm_up.per_s, &bench->problem);
    if (err == FT_OK)
        err = ft_duel_run(bench, &duel);
    if (heal->gen.conns != NULL)
        ft_gen_fini(&heal->gen);
    ft_cluster_stop(&heal->cluster);
    ft_buffer_fini(&heal->burst);
    free(heal);
    return err;
}
