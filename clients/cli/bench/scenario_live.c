/*
 * Rows of latency at 100 publications a second to 100 subscribers: beside the floor, and while 1,000
 * other sessions catch up beside the same broker without them. Runs on the bench's only thread, the
 * 1,000 in a process of their own.
 */
#include "clients/cli/bench/crowd.h"
#include "clients/cli/bench/live.h"

#include <stdlib.h>

static enum ft_err run_rate(struct ft_gen *gen, void *ctx, double seconds, struct ft_round *round)
{
    return ft_live_run(ctx, gen, seconds, round);
}

enum ft_err ft_row_rate(struct ft_bench *bench)
{
    static const struct ft_gen_hooks hooks = {.on_msg = ft_live_note};
    struct ft_live live;
    struct ft_contest contest = {
        .row = "1 topic x 100, 128 B, 100/s",
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .groups = {ft_live_subscribers, {.role = FT_GEN_PUBLISHER, .count = 1}},
        .group_count = 2,
        .floor = {.kind = FT_FLOOR_FANOUT,
                  .subscribers = FT_LIVE_SUBSCRIBERS,
                  .publishers = 1,
                  .burst = 1},
        .has_msg = true,
        .hooks = &hooks,
        .ctx = &live,
        .seconds = 2 * bench->seconds, /* p99.9 of 20,000 samples */
        .run = run_rate,
        .specs = {{"p50 us", FT_TARGET_RATIO_AT_MOST, 1.1},
                  {"p99 us", FT_TARGET_RATIO_AT_MOST, 1.1},
                  {"p99.9 us", FT_TARGET_NONE, 0}},
        .spec_count = 3,
    };
    ft_live_init(&live, contest.encoding);
    live.publisher = FT_LIVE_SUBSCRIBERS;
    contest.floor.publication_size = live.load.frame_size;
    enum ft_err err = ft_contest_run(bench, &contest);
    ft_live_fini(&live);
    return err;
}

/* ---- while others catch up ---- */

struct beside {
    struct ft_server server;
    struct ft_gen gen;
    struct ft_live live;
    struct ft_crowd crowd;
};

static enum ft_err run_beside(struct ft_bench *bench, const struct ft_duel *duel, enum ft_side side,
                              struct ft_round *round)
{
    struct beside *beside = duel->ctx;
    struct ft_crowd_report report;
    if (side == FT_SIDE_BROKER)
        ft_crowd_begin(&beside->crowd);
    enum ft_err err = ft_live_run(&beside->live, &beside->gen, duel->seconds, round);
    if (side == FT_SIDE_BESIDE)
        return err;
    enum ft_err crowd_err = ft_crowd_end(&beside->crowd, &report);
    if (crowd_err != FT_OK)
        bench->problem = report.problem;
    else
        round->values[3] = (double)report.delivered / report.seconds;
    return err != FT_OK ? err : crowd_err;
}

static enum ft_err open_beside(struct ft_bench *bench, struct beside *beside,
                               enum ft_encoding encoding)
{
    static const struct ft_gen_hooks hooks = {.on_msg = ft_live_note};
    const struct ft_gen_group publisher = {.role = FT_GEN_PUBLISHER, .count = 1};
    const struct ft_catchup_options crowd = {.encoding = encoding,
                                             .sessions =
                                                 ft_bench_scaled(bench, FT_CATCHUP_SESSIONS),
                                             .backlog = ft_bench_scaled(bench, FT_CATCHUP_BACKLOG),
                                             .topics = 1};
    enum ft_err err = ft_bench_start_broker(bench, &beside->server, NULL);
    if (err == FT_OK)
        err = ft_crowd_start(&beside->crowd, &crowd, &beside->server, bench->generator_core,
                             &bench->problem);
    if (err != FT_OK)
        return err;
    ft_gen_init(&beside->gen, &beside->server, encoding, FT_LIVE_SUBSCRIBERS + 1);
    beside->gen.hooks = &hooks;
    beside->gen.ctx = &beside->live;
    err = ft_gen_connect(&beside->gen, &ft_live_subscribers);
    return err != FT_OK ? err : ft_gen_connect(&beside->gen, &publisher);
}

enum ft_err ft_row_resume_live(struct ft_bench *bench)
{
    struct beside beside = {.server = {.pid = 0}};
    struct ft_duel duel = {
        .row = "100/s x 100 while 1,000 catch up",
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .beside_name = "without",
        .seconds = 2 * bench->seconds,
        .ctx = &beside,
        .run = run_beside,
        .specs = {{"p50 us", FT_TARGET_NONE, 0},
                  {"p99 us", FT_TARGET_NONE, 0},
                  {"p99.9 us", FT_TARGET_NONE, 0},
                  {"others' deliveries/s", FT_TARGET_NONE, 0}},
        .spec_count = 4,
        .alone_count = 1,
    };
    struct ft_round warm_up;
    ft_live_init(&beside.live, duel.encoding);
    beside.live.publisher = FT_LIVE_SUBSCRIBERS;
    enum ft_err err = open_beside(bench, &beside, duel.encoding);
    if (err == FT_OK)
        err = run_beside(bench, &duel, FT_SIDE_BESIDE, &warm_up);
    if (err == FT_OK)
        err = ft_duel_run(bench, &duel);
    if (beside.gen.conns != NULL) {
        if (bench->problem.err == FT_OK)
            bench->problem = beside.gen.problem;
        ft_gen_fini(&beside.gen);
    }
    ft_live_fini(&beside.live);
    ft_crowd_stop(&beside.crowd);
    ft_server_stop(&beside.server);
    return err;
}
