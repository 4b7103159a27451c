/*
 * Rows of 1,000 topics with one subscriber each: nothing is shared, so every delivery pays for its own
 * match, frame and send. Either each topic has a publisher of its own, which waits for its `ok` before
 * it publishes again, or 10 publishers write bursts over their share of the topics. Runs on the
 * bench's only thread.
 */
#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/load.h"

#include "broker/base/alloc.h"

#include <stdlib.h>

#define TOPIC    "bench/pair"
#define TOPICS   1000
#define DATA_LEN 128

struct pairs {
    struct ft_load *loads; /* by topic */
    uint32_t publishers, burst;
    uint8_t *frames; /* a burst as it goes out */
    const struct ft_meter *meter;
    uint64_t published; /* in this round */
};

/* Subscribers were connected first, in the order of their topics, publishers behind them. */
static struct ft_gen_conn *publisher_at(struct ft_gen *gen, uint32_t index)
{
    return &gen->conns[TOPICS + index];
}

/* Writes the publisher's next burst, one publication to each of its next topics. */
static enum ft_err publish(struct ft_gen *gen, struct ft_gen_conn *publisher)
{
    struct pairs *pairs = gen->ctx;
    uint32_t share = TOPICS / pairs->publishers;
    uint8_t *end = pairs->frames;
    for (uint32_t i = 0; i < pairs->burst; i++) {
        uint32_t feed = publisher->feed * share + publisher->sent++ % share;
        end = ft_load_put(&pairs->loads[feed], feed, gen->conns[feed].sent++, end);
    }
    publisher->in_flight = pairs->burst;
    pairs->published += pairs->burst;
    return ft_gen_send(gen, publisher, ft_slice(pairs->frames, (size_t)(end - pairs->frames)));
}

static void go_on(struct ft_gen *gen, struct ft_gen_conn *publisher)
{
    const struct pairs *pairs = gen->ctx;
    if (publisher->in_flight == 0 && !ft_meter_is_over(pairs->meter))
        (void)publish(gen, publisher);
}

/* One in flight: the reply to the last publication lets the next one go. */
static void on_ok(struct ft_gen *gen, struct ft_gen_conn *publisher, const struct ft_envelope *env)
{
    uint64_t id = FT_LOAD_ID_BASE + publisher->sent - 1;
    if (!gen->server->is_floor && (env->id.kind != FT_ID_INT || env->id.num != id)) {
        ft_gen_fail(gen, FT_ERR_INTERNAL, "publisher %u got an ok with another id than %llu",
                    publisher->feed, (unsigned long long)id);
        return;
    }
    publisher->in_flight = 0;
    go_on(gen, publisher);
}

/* Bursts: the last of its deliveries lets the publisher's next burst go. */
static void on_burst_msg(struct ft_gen *gen, struct ft_gen_conn *subscriber, uint32_t seq)
{
    const struct pairs *pairs = gen->ctx;
    struct ft_gen_conn *publisher =
        publisher_at(gen, subscriber->feed / (TOPICS / pairs->publishers));
    (void)seq;
    publisher->in_flight--;
    go_on(gen, publisher);
}

static enum ft_err run_pairs(struct ft_gen *gen, void *ctx, double seconds, struct ft_round *round)
{
    struct pairs *pairs = ctx;
    struct ft_meter meter;
    uint64_t before = gen->delivered, oks_before = gen->oks;
    pairs->meter = &meter;
    pairs->published = 0;
    ft_meter_begin(&meter, gen, seconds);
    enum ft_err err = FT_OK;
    for (uint32_t i = 0; i < pairs->publishers && err == FT_OK; i++)
        err = publish(gen, publisher_at(gen, i));
    /* What is awaited grows while publishers go on, and stands still once the time is over. */
    while (err == FT_OK && !ft_meter_is_over(&meter))
        err = ft_gen_await(gen, &gen->delivered, gen->delivered + 1);
    if (err == FT_OK)
        err = ft_gen_await(gen, &gen->delivered, before + pairs->published);
    if (err == FT_OK && pairs->burst == 1)
        err = ft_gen_await(gen, &gen->oks, oks_before + pairs->published);
    if (err == FT_OK)
        round->values[0] = ft_meter_end(&meter, gen, gen->delivered - before, round);
    return err;
}

static enum ft_err run_row(struct ft_bench *bench, const char *row, struct pairs pairs,
                           const struct ft_gen_hooks *hooks, double target)
{
    bool has_id = pairs.burst == 1;
    struct ft_contest contest = {
        .row = row,
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .groups =
            {{.role = FT_GEN_SUBSCRIBER, .count = TOPICS, .topic = TOPIC, .is_numbered = true},
             {.role = FT_GEN_PUBLISHER, .count = pairs.publishers}},
        .group_count = 2,
        .floor = {.kind = FT_FLOOR_PAIRS,
                  .subscribers = TOPICS,
                  .publishers = pairs.publishers,
                  .burst = pairs.burst},
        .has_msg = true,
        .has_ok = has_id,
        .hooks = hooks,
        .ctx = &pairs,
        .seconds = bench->seconds,
        .run = run_pairs,
        .specs = {{"CPU s/M deliveries", FT_TARGET_RATIO_AT_MOST, target}},
        .spec_count = 1,
    };
    pairs.loads = ft_alloc(TOPICS * sizeof(*pairs.loads));
    for (uint32_t i = 0; i < TOPICS; i++) {
        char topic[FT_GEN_TOPIC_MAX];
        ft_gen_topic(TOPIC, i, topic);
        ft_load_init(&pairs.loads[i], &(struct ft_load_spec){.encoding = contest.encoding,
                                                             .topic = topic,
                                                             .data_len = DATA_LEN,
                                                             .has_id = has_id});
    }
    contest.floor.publication_size = pairs.loads[0].frame_size;
    pairs.frames = ft_alloc(pairs.burst * contest.floor.publication_size);
    enum ft_err err = ft_contest_run(bench, &contest);
    for (uint32_t i = 0; i < TOPICS; i++)
        ft_load_fini(&pairs.loads[i]);
    free(pairs.loads);
    free(pairs.frames);
    return err;
}

enum ft_err ft_row_pairs_1000(struct ft_bench *bench)
{
    static const struct ft_gen_hooks hooks = {.on_ok = on_ok};
    return run_row(bench, "1,000 topics x 1, 1,000 publishers, one in flight",
                   (struct pairs){.publishers = 1000, .burst = 1}, &hooks, 1.2);
}

enum ft_err ft_row_pairs_10(struct ft_bench *bench)
{
    static const struct ft_gen_hooks hooks = {.on_msg = on_burst_msg};
    return run_row(bench, "1,000 topics x 1, 10 publishers, 32 in flight",
                   (struct pairs){.publishers = 10, .burst = 32}, &hooks, 1.1);
}
