/*
 * Rows of one topic and many subscribers: a publisher writes a burst, and the next one only when all
 * subscribers have the whole burst; or it publishes at a fixed rate, and the time until each
 * subscriber has the publication is what is measured. Runs on the bench's only thread.
 */
#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/load.h"
#include "clients/cli/bench/stats.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TOPIC "bench/fan"

struct fanout {
    struct ft_load load;
    uint32_t subscribers, burst;
    uint8_t *frames; /* a burst as it goes out */
    /* of the fixed rate */
    uint64_t sent_ns;    /* when the publication that is under way left */
    uint32_t *latencies; /* nanoseconds */
    size_t latency_count, latency_cap;
};

static struct ft_gen_conn *publisher_of(struct ft_gen *gen)
{
    return &gen->conns[gen->count - 1]; /* it was connected last */
}

static enum ft_err publish_burst(struct ft_gen *gen, struct fanout *fanout)
{
    struct ft_gen_conn *publisher = publisher_of(gen);
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

/* Lays out what is published and runs the contest. */
static enum ft_err run_contest(struct ft_bench *bench, struct ft_contest *contest,
                               struct fanout *fanout, size_t data_len)
{
    ft_load_init(&fanout->load, &(struct ft_load_spec){.encoding = contest->encoding,
                                                       .topic = TOPIC,
                                                       .data_len = data_len});
    fanout->frames = ft_alloc(fanout->burst * fanout->load.frame_size);
    contest->floor.publication_size = fanout->load.frame_size;
    enum ft_err err = ft_contest_run(bench, contest);
    free(fanout->frames);
    ft_load_fini(&fanout->load);
    return err;
}

static enum ft_err run_burst_row(struct ft_bench *bench, const char *row, struct fanout fanout,
                                 size_t data_len, double target)
{
    struct ft_contest contest = contest_of(bench, row, &fanout);
    contest.run = run_bursts;
    contest.specs[0] = (struct ft_figure_spec){"CPU s/M deliveries", FT_TARGET_FLOOR, target};
    contest.spec_count = 1;
    return run_contest(bench, &contest, &fanout, data_len);
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

#define RATE_PER_S 100
#define TICK_NS    (1000000000 / RATE_PER_S)

static void note_latency(struct ft_gen *gen, struct ft_gen_conn *conn, uint32_t seq)
{
    struct fanout *fanout = gen->ctx;
    (void)conn;
    (void)seq;
    if (fanout->latency_count == fanout->latency_cap) {
        fanout->latency_cap = fanout->latency_cap == 0 ? 65536 : 2 * fanout->latency_cap;
        fanout->latencies =
            ft_realloc(fanout->latencies, fanout->latency_cap * sizeof(*fanout->latencies));
    }
    fanout->latencies[fanout->latency_count++] = (uint32_t)(ft_clock_mono_ns() - fanout->sent_ns);
}

/*
 * Publishes at each tick of the timer, and awaits what that sent. A server that takes longer than a
 * tick makes the next one late: its latency counts from when it was due.
 */
static enum ft_err run_ticks(struct ft_gen *gen, struct fanout *fanout, int timer_fd,
                             const struct ft_meter *meter)
{
    while (!ft_meter_is_over(meter)) {
        uint64_t ticks;
        if (read(timer_fd, &ticks, sizeof(ticks)) != sizeof(ticks))
            return ft_gen_fail(gen, FT_ERR_INTERNAL, "cannot wait for a tick: %s", strerror(errno));
        uint64_t target = gen->delivered + fanout->subscribers;
        fanout->sent_ns = ft_clock_mono_ns() - (ticks - 1) * TICK_NS;
        enum ft_err err = publish_burst(gen, fanout);
        if (err == FT_OK)
            err = ft_gen_await(gen, &gen->delivered, target);
        if (err != FT_OK)
            return err;
    }
    return FT_OK;
}

static enum ft_err run_rate(struct ft_gen *gen, void *ctx, double seconds, struct ft_round *round)
{
    static const double quantiles[] = {0.5, 0.99, 0.999};
    struct fanout *fanout = ctx;
    struct ft_meter meter;
    struct itimerspec every = {.it_value.tv_nsec = 1, .it_interval.tv_nsec = TICK_NS};
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (timer_fd < 0 || timerfd_settime(timer_fd, 0, &every, NULL) != 0)
        return ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "cannot make a timer: %s", strerror(errno));
    fanout->latency_count = 0;
    ft_meter_begin(&meter, gen, seconds);
    enum ft_err err = run_ticks(gen, fanout, timer_fd, &meter);
    close(timer_fd);
    if (err != FT_OK)
        return err;
    (void)ft_meter_end(&meter, gen, fanout->latency_count, round);
    ft_stats_sort(fanout->latencies, fanout->latency_count);
    for (size_t i = 0; i < 3; i++)
        round->values[i] =
            ft_stats_quantile(fanout->latencies, fanout->latency_count, quantiles[i]) / 1e3;
    return FT_OK;
}

enum ft_err ft_row_rate(struct ft_bench *bench)
{
    static const struct ft_gen_hooks hooks = {.on_msg = note_latency};
    struct fanout fanout = {.subscribers = 100, .burst = 1};
    struct ft_contest contest = contest_of(bench, "1 topic x 100, 128 B, 100/s", &fanout);
    contest.run = run_rate;
    contest.hooks = &hooks;
    contest.seconds = 2 * bench->seconds; /* p99.9 of 20,000 samples */
    contest.specs[0] = (struct ft_figure_spec){"p50 us", FT_TARGET_FLOOR, 1.1};
    contest.specs[1] = (struct ft_figure_spec){"p99 us", FT_TARGET_FLOOR, 1.1};
    contest.specs[2] = (struct ft_figure_spec){"p99.9 us", FT_TARGET_NONE, 0};
    contest.spec_count = 3;
    enum ft_err err = run_contest(bench, &contest, &fanout, 128);
    free(fanout.latencies);
    return err;
}
