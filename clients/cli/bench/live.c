/*
 * Publishes at the ticks of a timer and collects latencies. A server that takes longer than a tick
 * makes the next publication late: its latency counts from when it was due. Runs on the bench's only
 * thread.
 */
#include "clients/cli/bench/live.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "clients/cli/bench/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PERIOD_NS (1000000000 / FT_LIVE_PER_S)

const struct ft_gen_group ft_live_subscribers = {
    .role = FT_GEN_SUBSCRIBER, .count = FT_LIVE_SUBSCRIBERS, .topic = FT_LIVE_TOPIC};

void ft_live_init(struct ft_live *live, enum ft_encoding encoding)
{
    memset(live, 0, sizeof(*live));
    ft_load_init(&live->load, &(struct ft_load_spec){.encoding = encoding,
                                                     .topic = FT_LIVE_TOPIC,
                                                     .data_len = FT_LIVE_DATA_LEN});
    live->frame = ft_alloc(live->load.frame_size);
}

void ft_live_fini(struct ft_live *live)
{
    ft_load_fini(&live->load);
    free(live->frame);
    free(live->latencies);
}

void ft_live_note(struct ft_gen *gen, struct ft_gen_conn *conn, uint32_t seq)
{
    struct ft_live *live = gen->ctx;
    (void)conn;
    (void)seq;
    if (live->count == live->cap) {
        live->cap = live->cap == 0 ? 65536 : 2 * live->cap;
        live->latencies = ft_realloc(live->latencies, live->cap * sizeof(*live->latencies));
    }
    live->latencies[live->count++] = (uint32_t)(ft_clock_mono_ns() - live->sent_ns);
    live->delivered++;
}

/* Publishes, and awaits what that sends. `late_ns`: how long ago it was due. */
static enum ft_err publish(struct ft_live *live, struct ft_gen *gen, uint64_t late_ns)
{
    struct ft_gen_conn *publisher = &gen->conns[live->publisher];
    uint64_t target = live->delivered + FT_LIVE_SUBSCRIBERS;
    ft_load_put(&live->load, 0, publisher->sent++, live->frame);
    live->sent_ns = ft_clock_mono_ns() - late_ns;
    enum ft_err err = ft_gen_send(gen, publisher, ft_slice(live->frame, live->load.frame_size));
    return err != FT_OK ? err : ft_gen_await(gen, &live->delivered, target);
}

static enum ft_err run_ticks(struct ft_live *live, struct ft_gen *gen, int timer_fd,
                             const struct ft_meter *meter)
{
    uint32_t per_publication = live->ticks > 0 ? live->ticks : 1;
    uint64_t tick_ns = PERIOD_NS / per_publication;
    uint64_t passed = 0; /* ticks since the last publication was due */
    while (!ft_meter_is_over(meter)) {
        uint64_t ticks;
        if (read(timer_fd, &ticks, sizeof(ticks)) != sizeof(ticks))
            return ft_gen_fail(gen, FT_ERR_INTERNAL, "cannot wait for a tick: %s", strerror(errno));
        enum ft_err err = FT_OK;
        if (live->on_tick != NULL)
            err = live->on_tick(gen, live, (uint32_t)ticks);
        passed += ticks;
        if (err == FT_OK && passed >= per_publication) {
            err = publish(live, gen, (passed - per_publication) * tick_ns);
            passed %= per_publication;
        }
        if (err != FT_OK)
            return err;
    }
    return FT_OK;
}

enum ft_err ft_live_run(struct ft_live *live, struct ft_gen *gen, double seconds,
                        struct ft_round *round)
{
    static const double quantiles[] = {0.5, 0.99, 0.999};
    struct ft_meter meter;
    struct itimerspec every = {.it_value.tv_nsec = 1};
    every.it_interval.tv_nsec = PERIOD_NS / (live->ticks > 0 ? live->ticks : 1);
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (timer_fd < 0 || timerfd_settime(timer_fd, 0, &every, NULL) != 0)
        return ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "cannot make a timer: %s", strerror(errno));
    live->count = 0;
    ft_meter_begin(&meter, gen, seconds);
    enum ft_err err = run_ticks(live, gen, timer_fd, &meter);
    close(timer_fd);
    if (err != FT_OK)
        return err;
    (void)ft_meter_end(&meter, gen, live->count, round);
    ft_stats_sort(live->latencies, live->count);
    for (size_t i = 0; i < 3; i++)
        round->values[i] = ft_stats_quantile(live->latencies, live->count, quantiles[i]) / 1e3;
    return FT_OK;
}
