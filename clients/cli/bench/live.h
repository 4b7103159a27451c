/*
 * Live traffic whose latency is measured: a publication at a fixed rate to some subscribers, and the
 * time until each of them has it. Whatever else goes on meanwhile is the row's.
 */
#ifndef FT_CLI_BENCH_LIVE_H
#define FT_CLI_BENCH_LIVE_H

#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/load.h"

#define FT_LIVE_TOPIC       "bench/live"
#define FT_LIVE_SUBSCRIBERS 100
#define FT_LIVE_PER_S       100
#define FT_LIVE_DATA_LEN    128

struct ft_live {
    struct ft_load load;
    uint8_t *frame;
    uint32_t publisher;  /* index of the connection that publishes */
    uint64_t sent_ns;    /* when the publication that is under way was due */
    uint32_t *latencies; /* nanoseconds */
    size_t count, cap;
    uint64_t delivered; /* to the live subscribers */
    /* What else is done at each of `ticks` equal parts of the time between two publications. */
    uint32_t ticks; /* 0 is 1 */
    enum ft_err (*on_tick)(struct ft_gen *gen, struct ft_live *live, uint32_t ticks);
    void *ctx;
};

/* Lays out what is published. */
void ft_live_init(struct ft_live *live, enum ft_encoding encoding);
void ft_live_fini(struct ft_live *live);

/* The subscribers; what their on_msg has to be, with the live traffic as the generator's ctx. */
extern const struct ft_gen_group ft_live_subscribers;
void ft_live_note(struct ft_gen *gen, struct ft_gen_conn *conn, uint32_t seq);

/*
 * Publishes for `seconds`, and fills the round with quantiles of the latency in microseconds: p50,
 * p99, p99.9.
 */
FT_MUST_USE
enum ft_err ft_live_run(struct ft_live *live, struct ft_gen *gen, double seconds,
                        struct ft_round *round);

#endif
