/*
 * Rows of publishing flat out through one node of a cluster: acknowledged ones of a stored topic beside the
 * broker's own script under redis-benchmark, and ephemeral ones beside PUBLISH under redis-benchmark. Redis has
 * the server's core, whoever loads it the other: so the node shares that with the generator. What Redis has
 * stored has to be as much as was acknowledged; of ephemeral ones a first round is heard and checked. Runs on the bench's only thread.
 */
#include "clients/cli/bench/load.h"
#include "clients/cli/bench/redis.h"
#include "clients/cli/bench/stats.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPIC      "bench/relay"
#define PUBLISHERS 10
#define WINDOW     512 /* in flight of each */
#define BURST      128 /* written at once */
#define DATA_LEN   128
#define FIRST_RUN  2000 /* requests, from which it is reckoned how many a round takes */
#define BATCH_MAX  512
#define ENTRY_MAX  256
#define SETTLE_MS  10000
#define OWN_MAX    120 /* figures of the node itself, one a second */

/* What the node tells of ephemeral publications that Redis has taken. */
#define SENT_METRIC    "fantail_relay_publishes_total{outcome=\"ephemeral\"}"
#define DROPPED_METRIC "fantail_relay_publishes_total{outcome=\"dropped\"}"

struct flat {
    struct ft_cluster cluster;
    struct ft_gen gen;
    struct ft_load load;
    uint8_t *frames; /* a burst */
    bool is_ephemeral;
    bool is_checked; /* all that was published has come in order */
    struct ft_meter meter;
    uint64_t published;           /* in this round */
    uint64_t offsets[PUBLISHERS]; /* of the latest ok's position */
    uint32_t acknowledged[PUBLISHERS];
    double bare_per_s; /* requests that redis-benchmark reported last */
    uint32_t batch;    /* publications in one of its requests */
};

static void publish(struct ft_gen *gen, struct ft_gen_conn *publisher)
{
    struct flat *flat = gen->ctx;
    uint8_t *end = flat->frames;
    for (uint32_t i = 0; i < BURST; i++)
        end = ft_load_put(&flat->load, publisher->feed, publisher->sent++, end);
    publisher->in_flight += BURST;
    flat->published += BURST;
    (void)ft_gen_send(gen, publisher, ft_slice(flat->frames, (size_t)(end - flat->frames)));
}

static uint64_t offset_of(struct ft_slice pos)
{
    const uint8_t *dot = pos.ptr != NULL ? memrchr(pos.ptr, '.', pos.len) : NULL;
    return dot == NULL ? 0
                       : ft_resp_number(ft_slice(dot + 1, (size_t)(pos.ptr + pos.len - dot - 1)));
}

/* A publisher's acknowledgements come in its own order, and so do their offsets. */
static void on_ok(struct ft_gen *gen, struct ft_gen_conn *publisher, const struct ft_envelope *env)
{
    struct flat *flat = gen->ctx;
    uint32_t *next = &flat->acknowledged[publisher->feed];
    uint64_t *last = &flat->offsets[publisher->feed], offset = offset_of(env->pos);
    if (env->id.kind != FT_ID_INT || env->id.num != FT_LOAD_ID_BASE + (uint64_t)*next) {
        ft_gen_fail(gen, FT_ERR_INTERNAL, "publisher %u got no ok for %u, which comes next",
                    publisher->feed, *next);
        return;
    }
    if (!flat->is_ephemeral && offset <= *last) {
        ft_gen_fail(gen, FT_ERR_INTERNAL, "publisher %u got offset %llu after %llu",
                    publisher->feed, (unsigned long long)offset, (unsigned long long)*last);
        return;
    }
    *last = offset;
    (*next)++;
    publisher->in_flight--;
    if (publisher->in_flight <= WINDOW - BURST && !ft_meter_is_over(&flat->meter))
        publish(gen, publisher);
}

/* What has become of publications so far. */
struct taken {
    uint64_t count, dropped;
};

/* How many publications Redis has, or was sent, so far; and how many the node dropped. */
static enum ft_err count_taken(struct flat *flat, struct taken *taken, struct ft_problem *problem)
{
    const struct ft_server *node = &flat->cluster.nodes[0];
    *taken = (struct taken){.count = 0};
    if (!flat->is_ephemeral)
        return ft_cluster_head(&flat->cluster, &taken->count, problem);
    double sent = 0, dropped = 0;
    enum ft_err err = ft_server_metric(node, SENT_METRIC, &sent, problem);
    if (err == FT_OK)
        err = ft_server_metric(node, DROPPED_METRIC, &dropped, problem);
    *taken = (struct taken){.count = (uint64_t)sent, .dropped = (uint64_t)dropped};
    return err;
}

/* Waits until the node has accounted for every ephemeral publication since `before`. */
static enum ft_err await_sent(struct flat *flat, const struct taken *before,
                              struct ft_problem *problem)
{
    uint64_t end_ms = ft_clock_mono_ms() + SETTLE_MS;
    struct taken now = *before;
    enum ft_err err = FT_OK;
    while (err == FT_OK && ft_clock_mono_ms() < end_ms &&
           now.count + now.dropped < before->count + before->dropped + flat->published) {
        (void)poll(NULL, 0, 1);
        err = count_taken(flat, &now, problem);
    }
    return err;
}

/* Loads the node until the time is over and everything is acknowledged. */
static enum ft_err load_node(struct flat *flat, double seconds, struct ft_problem *problem)
{
    struct ft_gen *gen = &flat->gen;
    uint64_t oks = gen->oks;
    flat->published = 0;
    ft_meter_begin(&flat->meter, gen, seconds);
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        while (gen->conns[i].in_flight < WINDOW)
            publish(gen, &gen->conns[i]);
    enum ft_err err = FT_OK;
    while (err == FT_OK && !ft_meter_is_over(&flat->meter))
        err = ft_gen_poll(gen, FT_GEN_STALL_MS);
    if (err == FT_OK)
        err = ft_gen_await(gen, &gen->oks, oks + flat->published);
    if (err != FT_OK)
        *problem = gen->problem;
    return err;
}

/* Compares what was acknowledged with what has become of it. An ephemeral one may have been dropped, and the node's
 * own figures are among those, once a second. */
static enum ft_err check_taken(const struct flat *flat, const struct taken *before,
                               const struct taken *after, struct ft_problem *problem)
{
    uint64_t count = after->count - before->count, dropped = after->dropped - before->dropped;
    uint64_t own_most = flat->is_ephemeral ? OWN_MAX : 0;
    if (count + dropped >= flat->published && count + dropped <= flat->published + own_most)
        return FT_OK;
    return ft_problem_set(problem, FT_ERR_INTERNAL,
                          "%llu publications were acknowledged; Redis has %llu, %llu were dropped",
                          (unsigned long long)flat->published, (unsigned long long)count,
                          (unsigned long long)dropped);
}

static enum ft_err run_broker(struct flat *flat, double seconds, struct ft_round *round,
                              struct ft_problem *problem)
{
    uint64_t calls_before = 0, calls = 0;
    struct taken before, after;
    enum ft_err err = ft_cluster_calls(&flat->cluster, &calls_before, problem);
    if (err == FT_OK)
        err = count_taken(flat, &before, problem);
    if (err == FT_OK)
        err = load_node(flat, seconds, problem);
    if (err == FT_OK && flat->is_ephemeral)
        err = await_sent(flat, &before, problem);
    if (err == FT_OK)
        err = count_taken(flat, &after, problem);
    if (err != FT_OK)
        return err;
    (void)ft_meter_end(&flat->meter, &flat->gen, after.count - before.count, round);
    err = ft_cluster_calls(&flat->cluster, &calls, problem);
    if (err != FT_OK)
        return err;
    round->values[0] = round->per_s;
    round->values[1] =
        flat->is_ephemeral
            ? (double)(after.dropped - before.dropped) * 100 / (double)flat->published
            : (double)flat->published / (double)(calls - calls_before);
    return check_taken(flat, &before, &after, problem);
}

/* Checks the publications in one message of the channel: the next ones of their publishers. */
static enum ft_err check_message(struct flat *flat, struct ft_slice message,
                                 uint32_t next[PUBLISHERS], struct ft_problem *problem)
{
    const uint8_t *at = message.ptr, *end = message.ptr + message.len;
    while ((at = memmem(at, (size_t)(end - at), FT_STAMP_MARK, FT_STAMP_MARK_LEN)) != NULL) {
        uint32_t feed, seq;
        if (end - at < FT_STAMP_LEN)
            break;
        ft_stamp_read(at, &feed, &seq);
        if (feed >= PUBLISHERS || seq != next[feed])
            return ft_problem_set(problem, FT_ERR_INTERNAL,
                                  "Redis was sent %u of publisher %u where another comes next", seq,
                                  feed);
        next[feed]++;
        at += FT_STAMP_LEN;
    }
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        flat->is_checked = flat->is_checked && next[i] == flat->gen.conns[i].sent;
    return FT_OK;
}

/* A round of no more than what is in flight, of which a subscriber in Redis checks every publication. */
static enum ft_err check_ephemeral(struct flat *flat, struct ft_problem *problem)
{
    struct ft_resp subscriber;
    struct ft_slice reply;
    struct ft_round round = {.per_s = 0};
    uint32_t next[PUBLISHERS] = {0};
    enum ft_err err = ft_resp_open(&subscriber, &flat->cluster.redis.address, problem);
    if (err == FT_OK)
        err = ft_resp_ask(&subscriber, "SUBSCRIBE " FT_SCRIPT_CHANNEL, &reply, problem);
    if (err == FT_OK)
        err = run_broker(flat, 0, &round, problem);
    while (err == FT_OK && !flat->is_checked) {
        err = ft_resp_next(&subscriber, FT_GEN_STALL_MS, &reply, problem);
        if (err == FT_OK && reply.ptr == NULL)
            err = ft_problem_set(problem, FT_ERR_TIMEOUT, "Redis was not sent all publications");
        flat->is_checked = true;
        if (err == FT_OK)
            err = check_message(flat, reply, next, problem);
    }
    ft_resp_close(&subscriber);
    return err;
}

/* Writes the command of redis-benchmark: PUBLISH, or the script with so many publications. */
static void write_command(const struct flat *flat, char count[16], char payload[DATA_LEN + 1],
                          struct ft_buffer *entries, const char *arguments[FT_SCRIPT_ARGS + 1])
{
    memset(payload, 'x', DATA_LEN);
    payload[DATA_LEN] = '\0';
    if (flat->is_ephemeral) {
        const char *const publish_command[] = {"PUBLISH", "bench", payload, NULL};
        memcpy(arguments, publish_command, sizeof(publish_command));
        return;
    }
    struct ft_slice args[FT_SCRIPT_ARGS];
    for (uint32_t i = 0; i < flat->batch; i++)
        (void)ft_script_add_entry(entries, TOPIC, DATA_LEN);
    /* redis-benchmark ends arguments at a NUL. Nobody reads these entries: another number does as well. */
    for (size_t i = 0; i < entries->len; i++)
        entries->ptr[i] += entries->ptr[i] == 0;
    snprintf(count, 16, "%u", flat->batch);
    ft_script_args(&flat->cluster, FT_SCRIPT_CHANNEL, count, ft_buffer_slice(entries), args);
    for (size_t i = 0; i < FT_SCRIPT_ARGS - 1; i++)
        arguments[i] = (const char *)args[i].ptr; /* all but the last are C strings */
    arguments[FT_SCRIPT_ARGS - 1] = NULL;
}

static enum ft_err run_benchmark(struct ft_bench *bench, struct flat *flat, double seconds,
                                 struct ft_round *round)
{
    const char *arguments[FT_SCRIPT_ARGS + 1];
    char count[16], payload[DATA_LEN + 1];
    struct ft_buffer entries;
    ft_buffer_init(&entries, BATCH_MAX * ENTRY_MAX);
    write_command(flat, count, payload, &entries, arguments);
    struct ft_benchmark benchmark = {
        .arguments = arguments, .last = ft_buffer_slice(&entries), .core = bench->generator_core};
    double requests = flat->bare_per_s * seconds;
    uint64_t before = 0, after = 0;
    benchmark.requests = requests < FIRST_RUN ? FIRST_RUN : (uint64_t)requests;
    benchmark.requests -= benchmark.requests % FT_BENCHMARK_PIPELINE;
    enum ft_err err = ft_cluster_head(&flat->cluster, &before, &bench->problem);
    if (err == FT_OK)
        err = ft_benchmark_run(&flat->cluster, &benchmark, &flat->bare_per_s, &bench->problem);
    if (err == FT_OK)
        err = ft_cluster_head(&flat->cluster, &after, &bench->problem);
    ft_buffer_fini(&entries);
    if (err == FT_OK && !flat->is_ephemeral &&
        after - before != benchmark.requests * (uint64_t)flat->batch)
        err = ft_problem_set(&bench->problem, FT_ERR_INTERNAL,
                             "redis-benchmark made %llu requests, and Redis has %llu more",
                             (unsigned long long)benchmark.requests,
                             (unsigned long long)(after - before));
    round->values[0] = flat->bare_per_s * (flat->is_ephemeral ? 1 : flat->batch);
    return err;
}

static enum ft_err run_round(struct ft_bench *bench, const struct ft_duel *duel, enum ft_side side,
                             struct ft_round *round)
{
    struct flat *flat = duel->ctx;
    return side == FT_SIDE_BROKER ? run_broker(flat, duel->seconds, round, &bench->problem)
                                  : run_benchmark(bench, flat, duel->seconds, round);
}

static enum ft_err open_row(struct ft_bench *bench, struct flat *flat, enum ft_encoding encoding)
{
    static const struct ft_gen_hooks hooks = {.on_ok = on_ok};
    enum ft_err err = ft_cluster_start(bench, &flat->cluster, bench->server_core);
    if (err == FT_OK)
        err = ft_cluster_load_script(&flat->cluster, &bench->problem);
    if (err == FT_OK)
        err = ft_cluster_add(bench, &flat->cluster, 0, bench->generator_core);
    if (err != FT_OK)
        return err;
    ft_gen_init(&flat->gen, &flat->cluster.nodes[0], encoding, PUBLISHERS);
    flat->gen.hooks = &hooks;
    flat->gen.ctx = flat;
    err = ft_gen_connect(&flat->gen,
                         &(struct ft_gen_group){.role = FT_GEN_PUBLISHER, .count = PUBLISHERS});
    if (err != FT_OK)
        bench->problem = flat->gen.problem;
    return err;
}

static void end_row(struct flat *flat)
{
    if (flat->gen.conns != NULL)
        ft_gen_fini(&flat->gen);
    ft_cluster_stop(&flat->cluster);
    ft_load_fini(&flat->load);
    free(flat->frames);
    free(flat);
}

/* The first duel; of stored ones another, beside batches as large as the node made them. */
static enum ft_err run_duels(struct ft_bench *bench, struct flat *flat, struct ft_duel *duel)
{
    struct ft_round warm_up = {.per_s = 0};
    static char name[32]; /* the figures point to it */
    enum ft_err err = flat->is_ephemeral ? check_ephemeral(flat, &bench->problem) : FT_OK;
    if (err == FT_OK)
        err = run_round(bench, duel, FT_SIDE_BROKER, &warm_up);
    if (err == FT_OK)
        err = run_round(bench, duel, FT_SIDE_BESIDE, &warm_up);
    if (err == FT_OK)
        err = ft_duel_run(bench, duel);
    if (err != FT_OK || flat->is_ephemeral)
        return err;
    double mean = bench->figures[bench->figure_count - 1].broker;
    flat->batch = mean > BATCH_MAX ? BATCH_MAX : mean < 1 ? 1 : (uint32_t)mean;
    flat->bare_per_s = 0;
    snprintf(name, sizeof(name), "script x %u", flat->batch);
    duel->beside_name = name;
    duel->row = "the same, beside batches as large";
    duel->specs[0].kind = FT_TARGET_NONE;
    duel->spec_count = 1;
    duel->alone_count = 0;
    err = run_round(bench, duel, FT_SIDE_BESIDE, &warm_up);
    return err != FT_OK ? err : ft_duel_run(bench, duel);
}

static enum ft_err run_row(struct ft_bench *bench, bool is_ephemeral)
{
    struct flat *flat = ft_alloc_zero(sizeof(*flat));
    struct ft_duel duel = {
        .row = is_ephemeral ? "through a node to Redis, 128 B, ephemeral"
                            : "through a node to Redis, 128 B, stored",
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .beside_name = is_ephemeral ? "PUBLISH -P 16" : "script -P 16",
        .seconds = bench->seconds,
        .ctx = flat,
        .run = run_round,
        .specs = {{is_ephemeral ? "publications/s" : "acknowledged/s", FT_TARGET_RATIO_AT_LEAST,
                   0.6},
                  {is_ephemeral ? "% dropped" : "publications a call", FT_TARGET_NONE, 0}},
        .spec_count = 2,
        .alone_count = 1,
    };
    flat->is_ephemeral = is_ephemeral;
    flat->batch = 1;
    ft_load_init(&flat->load,
                 &(struct ft_load_spec){.encoding = duel.encoding,
                                        .topic = is_ephemeral ? FT_CLUSTER_EPHEMERAL : TOPIC,
                                        .data_len = DATA_LEN,
                                        .has_id = true});
    flat->frames = ft_alloc(BURST * flat->load.frame_size);
    enum ft_err err = open_row(bench, flat, duel.encoding);
    if (err == FT_OK)
        err = run_duels(bench, flat, &duel);
    end_row(flat);
    return err;
}

enum ft_err ft_row_relay_flat(struct ft_bench *bench)
{
    return ft_benchmark_is_there("relay-flat") ? run_row(bench, false) : FT_OK;
}

enum ft_err ft_row_relay_ephemeral(struct ft_bench *bench)
{
    return ft_benchmark_is_there("relay-ephemeral") ? run_row(bench, true) : FT_OK;
}
