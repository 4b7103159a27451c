/*
 * Rows of sessions that resume: 1,000 of them catch up with what they missed, beside the fan-out of
 * the same bytes to the same connections while they were subscribed; and a resume that needs nothing,
 * beside a plain subscription. Runs on the bench's only thread.
 */
#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/catchup.h"
#include "clients/cli/bench/stats.h"

#include "broker/base/alloc.h"

#include <inttypes.h>
#include <stdio.h>

/* Starts a broker and a catch-up on it. */
struct stage {
    struct ft_server server;
    struct ft_gen gen;
    struct ft_catchup catchup;
};

static enum ft_err open_stage(struct ft_bench *bench, struct stage *stage,
                              const struct ft_catchup_options *options)
{
    memset(stage, 0, sizeof(*stage));
    enum ft_err err = ft_bench_start_broker(bench, &stage->server, NULL);
    return err != FT_OK ? err
                        : ft_catchup_init(&stage->catchup, options, &stage->gen, &stage->server);
}

static void close_stage(struct ft_bench *bench, struct stage *stage)
{
    if (bench->problem.err == FT_OK)
        bench->problem = stage->gen.problem;
    ft_catchup_fini(&stage->catchup);
    ft_server_stop(&stage->server);
}

/* ---- catching up ---- */

/* Publishes the backlog to all, who are subscribed. */
static enum ft_err run_fanout(struct ft_catchup *catchup, struct ft_meter *meter)
{
    enum ft_err err = ft_catchup_subscribe(catchup, catchup->options.sessions);
    ft_meter_begin(meter, catchup->gen, 0);
    return err != FT_OK ? err : ft_catchup_publish(catchup, catchup->options.sessions);
}

static enum ft_err run_resume_round(struct ft_bench *bench, const struct ft_duel *duel,
                                    enum ft_side side, struct ft_round *round)
{
    struct stage *stage = duel->ctx;
    struct ft_catchup *catchup = &stage->catchup;
    struct ft_meter meter;
    uint64_t before = stage->gen.delivered;
    enum ft_err err;
    (void)bench;
    if (side == FT_SIDE_BESIDE) {
        err = run_fanout(catchup, &meter);
    } else {
        ft_meter_begin(&meter, &stage->gen, 0);
        err = ft_catchup_resume(catchup);
    }
    if (err != FT_OK)
        return err;
    uint64_t delivered = stage->gen.delivered - before;
    round->values[0] = ft_meter_end(&meter, &stage->gen, delivered, round);
    round->values[1] = round->per_s;
    round->values[2] = round->per_s * catchup->options.sessions / (double)delivered;
    return ft_catchup_unsubscribe(catchup, catchup->options.sessions);
}

static enum ft_err run_resume_row(struct ft_bench *bench, const char *row,
                                  struct ft_catchup_options options)
{
    static struct stage stage;
    options.encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON;
    options.sessions = ft_bench_scaled(bench, FT_CATCHUP_SESSIONS);
    options.backlog = ft_bench_scaled(bench, FT_CATCHUP_BACKLOG);
    struct ft_duel duel = {
        .row = row,
        .encoding = options.encoding,
        .beside_name = "fan-out",
        .ctx = &stage,
        .run = run_resume_round,
        .specs = {{"CPU s/M deliveries", FT_TARGET_RATIO_AT_MOST, 2},
                  {"deliveries/s", FT_TARGET_RATIO_AT_LEAST, 0.5},
                  {"sessions/s", FT_TARGET_NONE, 0}},
        .spec_count = 3,
        .alone_count = 1,
    };
    struct ft_round warm_up;
    enum ft_err err = open_stage(bench, &stage, &options);
    for (enum ft_side side = FT_SIDES; side-- > 0 && err == FT_OK;)
        err = run_resume_round(bench, &duel, side, &warm_up);
    if (err == FT_OK)
        err = ft_duel_run(bench, &duel);
    close_stage(bench, &stage);
    return err;
}

enum ft_err ft_row_resume(struct ft_bench *bench)
{
    return run_resume_row(bench, "1,000 catch up with 10,000, 1 topic",
                          (struct ft_catchup_options){.topics = 1});
}

enum ft_err ft_row_resume_own(struct ft_bench *bench)
{
    return run_resume_row(bench, "the same, each from a position of its own",
                          (struct ft_catchup_options){.topics = 1, .is_staggered = true});
}

enum ft_err ft_row_resume_100(struct ft_bench *bench)
{
    return run_resume_row(bench, "the same, 100 topics in turn, one wildcard",
                          (struct ft_catchup_options){.topics = 100, .is_staggered = true});
}

/* ---- nothing to catch up with ---- */

#define NONE_TOPIC "bench/none"
#define WAVES      10 /* in a round of a second */

struct none {
    struct stage stage;
    uint64_t behind; /* how far before the head a resume begins; none of that is its own */
};

/* Lets all connections subscribe to a topic of their own, and then end it, which is not measured. */
static enum ft_err run_wave(struct ft_catchup *catchup, const char *since, uint64_t *cpu_ns)
{
    struct ft_gen *gen = catchup->gen;
    uint32_t sessions = catchup->options.sessions;
    uint64_t oks = gen->oks;
    uint64_t before_ns = ft_stats_cpu_ns(gen->server->pid);
    char topic[FT_GEN_TOPIC_MAX];
    enum ft_err err = FT_OK;
    catchup->is_resuming = since != NULL; /* and so its ok is checked */
    for (uint32_t i = 0; i < sessions && err == FT_OK; i++) {
        ft_gen_topic(NONE_TOPIC, i, topic);
        err = ft_gen_subscribe(gen, &gen->conns[i], topic, since);
    }
    if (err == FT_OK)
        err = ft_gen_await(gen, &gen->oks, oks + sessions);
    *cpu_ns += ft_stats_settled_cpu_ns(gen->server->pid) - before_ns;
    catchup->is_resuming = false;
    for (uint32_t i = 0; i < sessions && err == FT_OK; i++) {
        ft_gen_topic(NONE_TOPIC, i, topic);
        err = ft_gen_unsubscribe(gen, &gen->conns[i], topic);
    }
    return err != FT_OK ? err : ft_gen_await(gen, &gen->oks, oks + 2 * sessions);
}

static enum ft_err run_none_round(struct ft_bench *bench, const struct ft_duel *duel,
                                  enum ft_side side, struct ft_round *round)
{
    struct none *none = duel->ctx;
    struct ft_catchup *catchup = &none->stage.catchup;
    uint32_t waves = bench->seconds >= 1 ? WAVES : 1;
    uint64_t cpu_ns = 0;
    char since[64];
    enum ft_err err = FT_OK;
    snprintf(since, sizeof(since), "%s.%" PRIu64, catchup->stream,
             catchup->head + catchup->options.backlog - none->behind);
    for (uint32_t i = 0; i < waves && err == FT_OK; i++)
        err = run_wave(catchup, side == FT_SIDE_BROKER ? since : NULL, &cpu_ns);
    round->values[0] = (double)cpu_ns / 1e3 / (waves * catchup->options.sessions);
    return err;
}

/* Fills the journal with what none of the resumes wants. */
static enum ft_err prepare_none(struct none *none)
{
    struct ft_catchup *catchup = &none->stage.catchup;
    enum ft_err err = ft_catchup_subscribe(catchup, 1);
    if (err == FT_OK)
        err = ft_catchup_unsubscribe(catchup, 1);
    return err != FT_OK ? err : ft_catchup_publish(catchup, 0);
}

enum ft_err ft_row_resume_none(struct ft_bench *bench)
{
    static struct none none;
    const struct ft_catchup_options options = {
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .sessions = ft_bench_scaled(bench, FT_CATCHUP_SESSIONS),
        .backlog = ft_bench_scaled(bench, FT_CATCHUP_BACKLOG),
        .topics = 1};
    struct ft_duel duel = {
        .row = "1,000 resume where they stopped",
        .encoding = options.encoding,
        .beside_name = "plain sub",
        .ctx = &none,
        .run = run_none_round,
        .specs = {{"CPU us a sub", FT_TARGET_RATIO_AT_MOST, 2}},
        .spec_count = 1,
    };
    struct ft_round warm_up;
    none.behind = 0;
    enum ft_err err = open_stage(bench, &none.stage, &options);
    if (err == FT_OK)
        err = prepare_none(&none);
    for (enum ft_side side = FT_SIDES; side-- > 0 && err == FT_OK;)
        err = run_none_round(bench, &duel, side, &warm_up);
    if (err == FT_OK)
        err = ft_duel_run(bench, &duel);
    none.behind = options.backlog;
    duel.row = "the same, 10,000 behind, none of it their own";
    duel.specs[0].kind = FT_TARGET_NONE;
    if (err == FT_OK)
        err = ft_duel_run(bench, &duel);
    close_stage(bench, &none.stage);
    return err;
}
