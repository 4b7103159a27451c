/*
 * Rows of one topic and many subscribers: a publisher writes a burst, and the next one only when all
 * subscribers have the whole burst. Beside the floor; with a tenth of the subscribers parked beside
 * none; and as event streams beside WebSockets. Runs on the bench's only thread.
 */
#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/load.h"

#include "broker/base/alloc.h"

#include <stdlib.h>

#define TOPIC "bench/fan"

struct fanout {
    struct ft_load load;
    uint32_t subscribers, burst;
    uint32_t publisher; /* index of the connection that publishes */
    uint8_t *frames;    /* a burst as it goes out */
};

static enum ft_err publish_burst(struct ft_gen *gen, struct fanout *fanout)
{
    struct ft_gen_conn *publisher = &gen->conns[fanout->publisher];
    uint8_t *end = fanout->frames;
    for (uint32_t i = 0; i < fanout->burst; i++)
        end = ft_load_put(&fanout->load, 0, publisher->sent++, end);
    return ft_gen_send(gen, publisher, ft_slice(fanout->frames, (size_t)(end - fanout->frames)));
}

static enum ft_err run_bursts(struct ft_gen *gen, void *ctx, double seconds, struct ft_round *round)
{
    struct fanout *fanout = ctx;
    struct ft_meter meter;
    uint64_t before = gen->delivered;
    ft_meter_begin(&meter, gen, seconds);
    do {
        uint64_t target = gen->delivered + (uint64_t)fanout->subscribers * fanout->burst;
        enum ft_err err = publish_burst(gen, fanout);
        if (err == FT_OK)
            err = ft_gen_await(gen, &gen->delivered, target);
        if (err != FT_OK)
            return err;
    } while (!ft_meter_is_over(&meter));
    round->values[0] = ft_meter_end(&meter, gen, gen->delivered - before, round);
    return FT_OK;
}

static struct ft_contest contest_of(struct ft_bench *bench, const char *row, struct fanout *fanout)
{
    fanout->publisher = fanout->subscribers; /* it is connected last */
    return (struct ft_contest){
        .row = row,
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .groups = {{.role = FT_GEN_SUBSCRIBER, .count = fanout->subscribers, .topic = TOPIC},
                   {.role = FT_GEN_PUBLISHER, .count = 1}},
        .group_count = 2,
        .floor = {.kind = FT_FLOOR_FANOUT,
                  .subscribers = fanout->subscribers,
                  .publishers = 1,
                  .burst = fanout->burst},
        .has_msg = true,
        .ctx = fanout,
        .seconds = bench->seconds,
    };
}

/* Lays out what is published. */
static void lay_out(struct fanout *fanout, enum ft_encoding encoding, size_t data_len)
{
    ft_load_init(&fanout->load, &(struct ft_load_spec){
                                    .encoding = encoding, .topic = TOPIC, .data_len = data_len});
    fanout->frames = ft_alloc(fanout->burst * fanout->load.frame_size);
}

static void clean_up(struct fanout *fanout)
{
    free(fanout->frames);
    ft_load_fini(&fanout->load);
}

static enum ft_err run_burst_row(struct ft_bench *bench, const char *row, struct fanout fanout,
                                 size_t data_len, double target)
{
    struct ft_contest contest = contest_of(bench, row, &fanout);
    contest.run = run_bursts;
    contest.specs[0] =
        (struct ft_figure_spec){"CPU s/M deliveries", FT_TARGET_RATIO_AT_MOST, target};
    contest.spec_count = 1;
    lay_out(&fanout, contest.encoding, data_len);
    contest.floor.publication_size = fanout.load.frame_size;
    enum ft_err err = ft_contest_run(bench, &contest);
    clean_up(&fanout);
    return err;
}

enum ft_err ft_row_fanout_1(struct ft_bench *bench)
{
    return run_burst_row(bench, "1 topic x 1,000, 128 B, one at a time",
                         (struct fanout){.subscribers = 1000, .burst = 1}, 128, 1.06);
}

enum ft_err ft_row_fanout_32(struct ft_bench *bench)
{
    return run_burst_row(bench, "1 topic x 1,000, 128 B, bursts of 32",
                         (struct fanout){.subscribers = 1000, .burst = 32}, 128, 1.5);
}

enum ft_err ft_row_fanout_1k(struct ft_bench *bench)
{
    return run_burst_row(bench, "1 topic x 100, 1 KB, bursts of 32",
                         (struct fanout){.subscribers = 100, .burst = 32}, 1024, 1.3);
}

/* ---- with readers that do not read ---- */

#define ALL    1000
#define PARKED 100
#define FILL   40000 /* publications, 9 MB a reader: Linux takes 4 of them, limits.queue 1 */

/* A broker, and those who read from it or do not. */
struct audience {
    struct ft_server server;
    struct ft_gen gen;
    struct fanout fanout;
    enum ft_encoding encoding;
    uint32_t parked; /* of ALL; they are connected first, then the publisher, then the readers */
    uint32_t fill;   /* publications before the readers come */
    bool is_events;  /* they read event streams */
};

/* Publishes what nobody reads, until those who do not read are parked. */
static enum ft_err fill(struct audience *audience)
{
    struct ft_gen *gen = &audience->gen;
    enum ft_err err = FT_OK;
    for (uint32_t done = 0; done < audience->fill && err == FT_OK; done += audience->fanout.burst)
        err = publish_burst(gen, &audience->fanout);
    uint64_t oks = gen->oks;
    if (err == FT_OK)
        err = ft_gen_ping(gen, &gen->conns[audience->fanout.publisher]);
    return err != FT_OK ? err : ft_gen_await(gen, &gen->oks, oks + 1);
}

static enum ft_err open_audience(struct ft_bench *bench, struct audience *audience)
{
    /* They stay, however long the row takes. */
    static const char *const settings[] = {"limits.write_timeout=3600s", "limits.ping=3600s", NULL};
    struct ft_gen *gen = &audience->gen;
    struct ft_gen_group group = {.role = FT_GEN_SUBSCRIBER,
                                 .count = audience->parked,
                                 .topic = TOPIC,
                                 .is_parked = true,
                                 .is_events = audience->is_events};
    audience->fanout.subscribers = ALL - audience->parked;
    audience->fanout.publisher = audience->parked;
    lay_out(&audience->fanout, audience->encoding, 128);
    enum ft_err err = ft_bench_start_broker(bench, &audience->server, settings);
    if (err != FT_OK)
        return err;
    ft_gen_init(gen, &audience->server, audience->encoding, ALL + 1);
    err = ft_gen_connect(gen, &group);
    if (err == FT_OK)
        err = ft_gen_connect(gen, &(struct ft_gen_group){.role = FT_GEN_PUBLISHER, .count = 1});
    if (err == FT_OK)
        err = fill(audience);
    group.is_parked = false;
    group.count = audience->fanout.subscribers;
    group.first_seq = gen->conns[audience->fanout.publisher].sent;
    return err != FT_OK ? err : ft_gen_connect(gen, &group);
}

static void close_audience(struct ft_bench *bench, struct audience *audience)
{
    if (bench->problem.err == FT_OK)
        bench->problem = audience->gen.problem;
    if (audience->gen.conns != NULL)
        ft_gen_fini(&audience->gen);
    clean_up(&audience->fanout);
    ft_server_stop(&audience->server);
}

static enum ft_err run_audience(struct ft_bench *bench, const struct ft_duel *duel,
                                enum ft_side side, struct ft_round *round)
{
    struct audience *audience = (struct audience *)duel->ctx + side;
    enum ft_err err = run_bursts(&audience->gen, &audience->fanout, duel->seconds, round);
    (void)bench;
    for (uint32_t i = 0; i < audience->parked && err == FT_OK; i++)
        err = ft_gen_check_parked(&audience->gen, &audience->gen.conns[i]);
    return err;
}

/* Opens both sides and lets them compete. */
static enum ft_err run_audiences(struct ft_bench *bench, const struct ft_duel *duel,
                                 const struct audience plans[FT_SIDES])
{
    struct audience *audiences = duel->ctx;
    struct ft_round warm_up;
    enum ft_err err = FT_OK;
    memcpy(audiences, plans, FT_SIDES * sizeof(*audiences));
    for (enum ft_side side = FT_SIDES; side-- > 0 && err == FT_OK;)
        err = open_audience(bench, &audiences[side]);
    for (enum ft_side side = FT_SIDES; side-- > 0 && err == FT_OK;)
        err = run_audience(bench, duel, side, &warm_up);
    if (err == FT_OK)
        err = ft_duel_run(bench, duel);
    for (enum ft_side side = 0; side < FT_SIDES; side++)
        close_audience(bench, &audiences[side]);
    return err;
}

enum ft_err ft_row_parked(struct ft_bench *bench)
{
    enum ft_encoding encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON;
    const struct audience plans[FT_SIDES] = {
        [FT_SIDE_BROKER] = {.encoding = encoding,
                            .parked = PARKED,
                            .fill = FILL,
                            .fanout.burst = 32},
        [FT_SIDE_BESIDE] = {.encoding = encoding, .fill = FILL, .fanout.burst = 32},
    };
    struct audience audiences[FT_SIDES];
    return run_audiences(
        bench,
        &(struct ft_duel){.row = "1 topic x 1,000, bursts of 32, 100 of them parked",
                          .encoding = encoding,
                          .beside_name = "all read",
                          .seconds = bench->seconds,
                          .ctx = audiences,
                          .run = run_audience,
                          .specs = {{"CPU s/M deliveries", FT_TARGET_RATIO_AT_MOST, 1.1}},
                          .spec_count = 1},
        plans);
}

static enum ft_err run_events_row(struct ft_bench *bench, const char *row, uint32_t burst)
{
    const struct audience plans[FT_SIDES] = {
        [FT_SIDE_BROKER] = {.encoding = FT_JSON, .is_events = true, .fanout.burst = burst},
        [FT_SIDE_BESIDE] = {.encoding = FT_JSON, .fanout.burst = burst},
    };
    struct audience audiences[FT_SIDES];
    return run_audiences(
        bench,
        &(struct ft_duel){.row = row,
                          .encoding = FT_JSON,
                          .beside_name = "WebSocket",
                          .seconds = bench->seconds,
                          .ctx = audiences,
                          .run = run_audience,
                          .specs = {{"CPU s/M deliveries", FT_TARGET_RATIO_AT_MOST, 1.3}},
                          .spec_count = 1},
        plans);
}

enum ft_err ft_row_events(struct ft_bench *bench)
{
    enum ft_err err = run_events_row(bench, "event streams, 1 topic x 1,000, one at a time", 1);
    return err != FT_OK ? err
                        : run_events_row(bench, "event streams, 1 topic x 1,000, bursts of 32", 32);
}
