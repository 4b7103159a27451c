/*
 * Runs a row's rounds against the broker and against the floor: a duel whose sides are two servers
 * that do the same. The broker's first round is not counted: it warms caches up and yields the frames
 * that the floor then sends. Runs on the bench's only thread.
 */
#include "clients/cli/bench/bench.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "clients/cli/bench/stats.h"

#include <stdlib.h>

void ft_meter_begin(struct ft_meter *meter, const struct ft_gen *gen, double seconds)
{
    meter->start_ns = ft_clock_mono_ns();
    meter->end_ns = meter->start_ns + (uint64_t)(seconds * 1e9);
    meter->start_cpu_ns = ft_stats_cpu_ns(gen->server->pid);
}

bool ft_meter_is_over(const struct ft_meter *meter)
{
    return ft_clock_mono_ns() >= meter->end_ns;
}

double ft_meter_end(const struct ft_meter *meter, const struct ft_gen *gen, uint64_t count,
                    struct ft_round *round)
{
    double cpu_ns = (double)(ft_stats_cpu_ns(gen->server->pid) - meter->start_cpu_ns);
    double wall_ns = (double)(ft_clock_mono_ns() - meter->start_ns);
    round->per_s = (double)count / wall_ns * 1e9;
    round->busy = cpu_ns / wall_ns;
    return count == 0 ? 0 : cpu_ns / 1000 / (double)count;
}

/* How long nothing more may come after the last round. */
#define QUIET_MS 50

/* One side of a contest. */
struct side {
    struct ft_server server;
    struct ft_gen gen;
};

static enum ft_err connect_all(struct side *side, const struct ft_contest *contest,
                               struct ft_problem *problem)
{
    uint32_t total = 0;
    for (size_t i = 0; i < contest->group_count; i++)
        total += contest->groups[i].count;
    ft_gen_init(&side->gen, &side->server, contest->encoding, total);
    side->gen.hooks = contest->hooks;
    side->gen.ctx = contest->ctx;
    enum ft_err err = FT_OK;
    for (size_t i = 0; i < contest->group_count && err == FT_OK; i++)
        err = ft_gen_connect(&side->gen, &contest->groups[i]);
    if (err != FT_OK)
        *problem = side->gen.problem;
    return err;
}

/* Starts the floor with frames that the broker has just sent; or another broker in its place. */
static enum ft_err open_beside(struct ft_bench *bench, const struct ft_contest *contest,
                               struct side *beside, const struct ft_gen *broker)
{
    if (bench->other != NULL) {
        const struct ft_server_options options = {.path = bench->other, .core = bench->server_core};
        enum ft_err err = ft_server_start(&beside->server, &options, &bench->problem);
        return err != FT_OK ? err : connect_all(beside, contest, &bench->problem);
    }
    struct ft_floor_plan plan = contest->floor;
    if (contest->has_msg)
        plan.msg = ft_slice(broker->msg.bytes, broker->msg.len);
    if (contest->has_ok)
        plan.ok = ft_slice(broker->ok.bytes, broker->ok.len);
    FT_ASSERT((!contest->has_msg || plan.msg.len > 0) && (!contest->has_ok || plan.ok.len > 0));
    enum ft_err err = ft_floor_start(&beside->server, &plan, bench->server_core, &bench->problem);
    return err != FT_OK ? err : connect_all(beside, contest, &bench->problem);
}

static enum ft_err run_round(struct side *side, const struct ft_contest *contest, double seconds,
                             struct ft_round *round, struct ft_problem *problem)
{
    memset(round, 0, sizeof(*round));
    enum ft_err err = contest->run(&side->gen, contest->ctx, seconds, round);
    if (err != FT_OK)
        *problem = side->gen.problem;
    return err;
}

struct match {
    const struct ft_contest *contest;
    struct side sides[FT_SIDES];
};

static enum ft_err run_duel_round(struct ft_bench *bench, const struct ft_duel *duel,
                                  enum ft_side side, struct ft_round *round)
{
    struct match *match = duel->ctx;
    return run_round(&match->sides[side], match->contest, duel->seconds, round, &bench->problem);
}

static enum ft_err run_rounds(struct ft_bench *bench, struct match *match)
{
    const struct ft_contest *contest = match->contest;
    struct ft_duel duel = {.row = contest->row,
                           .encoding = contest->encoding,
                           .beside_name = bench->other != NULL ? "other" : "floor",
                           .seconds = contest->seconds,
                           .ctx = match,
                           .run = run_duel_round,
                           .spec_count = contest->spec_count};
    memcpy(duel.specs, contest->specs, sizeof(duel.specs));
    for (size_t i = 0; i < duel.spec_count && bench->other != NULL; i++)
        duel.specs[i].kind = FT_TARGET_NONE; /* they are about the floor */
    return ft_duel_run(bench, &duel);
}

/* Sees a duplicate of the very last publications, behind which nothing else comes. */
static enum ft_err check_quiet(struct side *broker, struct ft_bench *bench)
{
    uint64_t end_ms = ft_clock_mono_ms() + QUIET_MS, now_ms;
    enum ft_err err = FT_OK;
    while (err == FT_OK && (now_ms = ft_clock_mono_ms()) < end_ms)
        err = ft_gen_poll(&broker->gen, (int)(end_ms - now_ms));
    if (err != FT_OK)
        bench->problem = broker->gen.problem;
    return err;
}

enum ft_err ft_contest_run(struct ft_bench *bench, const struct ft_contest *contest)
{
    struct match *match = ft_alloc_zero(sizeof(*match));
    struct side *broker = &match->sides[FT_SIDE_BROKER], *beside = &match->sides[FT_SIDE_BESIDE];
    struct ft_round warm_up;
    match->contest = contest;
    enum ft_err err = ft_bench_start_broker(bench, &broker->server, NULL);
    if (err == FT_OK)
        err = connect_all(broker, contest, &bench->problem);
    if (err == FT_OK)
        err = run_round(broker, contest, contest->seconds / 2, &warm_up, &bench->problem);
    if (err == FT_OK)
        err = open_beside(bench, contest, beside, &broker->gen);
    if (err == FT_OK)
        err = run_round(beside, contest, contest->seconds / 4, &warm_up, &bench->problem);
    if (err == FT_OK)
        err = run_rounds(bench, match);
    if (err == FT_OK)
        err = check_quiet(broker, bench);
    for (size_t i = 0; i < FT_SIDES; i++) {
        if (match->sides[i].gen.conns != NULL)
            ft_gen_fini(&match->sides[i].gen);
        ft_server_stop(&match->sides[i].server);
    }
    free(match);
    return err;
}
