/*
 * Measures two sides of one thing in turn, round by round, and makes figures of the medians. What the
 * sides are, and what they need, is the row's. Runs on the bench's only thread.
 */
#include "clients/cli/bench/bench.h"

#include "clients/cli/bench/stats.h"

struct rounds {
    struct ft_round sides[FT_SIDES][FT_ROUNDS_MAX];
};

static double median_of(const struct ft_round *rounds, size_t value, unsigned count)
{
    double all[FT_ROUNDS_MAX];
    for (unsigned i = 0; i < count; i++)
        all[i] = rounds[i].values[value];
    return ft_stats_median(all, count);
}

static double median_ratio(const struct rounds *rounds, size_t value, unsigned count)
{
    double all[FT_ROUNDS_MAX];
    for (unsigned i = 0; i < count; i++)
        all[i] = rounds->sides[FT_SIDE_BROKER][i].values[value] /
                 rounds->sides[FT_SIDE_BESIDE][i].values[value];
    return ft_stats_median(all, count);
}

static void add_figures(struct ft_bench *bench, const struct ft_duel *duel,
                        const struct rounds *rounds)
{
    const struct ft_round *broker = rounds->sides[FT_SIDE_BROKER];
    const struct ft_round *beside = rounds->sides[FT_SIDE_BESIDE];
    double per_s[FT_ROUNDS_MAX], busy[FT_ROUNDS_MAX];
    unsigned count = bench->rounds;
    for (unsigned i = 0; i < count; i++) {
        per_s[i] = broker[i].per_s;
        busy[i] = broker[i].busy;
    }
    for (size_t value = 0; value < duel->spec_count; value++) {
        bool is_alone = value + duel->alone_count >= duel->spec_count;
        ft_bench_add(bench,
                     &(struct ft_figure){.row = duel->row,
                                         .encoding = ft_bench_encoding(duel->encoding),
                                         .spec = duel->specs[value],
                                         .beside_name = is_alone ? NULL : duel->beside_name,
                                         .broker = median_of(broker, value, count),
                                         .beside = median_of(beside, value, count),
                                         .ratio = is_alone ? 0 : median_ratio(rounds, value, count),
                                         .per_s = ft_stats_median(per_s, count),
                                         .busy = ft_stats_median(busy, count)});
    }
}

enum ft_err ft_duel_run(struct ft_bench *bench, const struct ft_duel *duel)
{
    struct rounds rounds;
    memset(&rounds, 0, sizeof(rounds));
    for (unsigned i = 0; i < bench->rounds; i++) {
        enum ft_err err = duel->run(bench, duel, FT_SIDE_BESIDE, &rounds.sides[FT_SIDE_BESIDE][i]);
        if (err == FT_OK)
            err = duel->run(bench, duel, FT_SIDE_BROKER, &rounds.sides[FT_SIDE_BROKER][i]);
        if (err != FT_OK)
            return err;
    }
    add_figures(bench, duel, &rounds);
    return FT_OK;
}

enum ft_err ft_bench_start_broker(struct ft_bench *bench, struct ft_server *server,
                                  const char *const settings[])
{
    const struct ft_server_options options = {
        .path = bench->fantaild, .core = bench->server_core, .settings = settings};
    return ft_server_start(server, &options, &bench->problem);
}

uint32_t ft_bench_scaled(const struct ft_bench *bench, uint32_t count)
{
    return bench->seconds >= 1 ? count : (uint32_t)(count * bench->seconds);
}
