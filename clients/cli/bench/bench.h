/*
 * The rows of `fantail bench`, what they share, and the figures that they make. A row starts its own
 * servers, measures, and adds figures; bench.c prints them when all rows are done.
 */
#ifndef FT_CLI_BENCH_BENCH_H
#define FT_CLI_BENCH_BENCH_H

#include "clients/cli/bench/floor.h"
#include "clients/cli/bench/gen.h"

/* What is measured, and what stands beside it: the floor, or the broker doing something simpler. */
enum ft_side { FT_SIDE_BROKER, FT_SIDE_BESIDE, FT_SIDES };

#define FT_ROUNDS_MAX  25
#define FT_VALUES_MAX  4 /* figures that one row measures in one run */
#define FT_FIGURES_MAX 64

/* What a figure is held to. */
enum ft_target {
    FT_TARGET_NONE,
    FT_TARGET_RATIO_AT_MOST,  /* of what stands beside it */
    FT_TARGET_RATIO_AT_LEAST, /* likewise */
    FT_TARGET_AT_MOST,
    FT_TARGET_AT_LEAST
};

struct ft_figure_spec {
    const char *name; /* with its unit: "CPU s/M deliveries" */
    enum ft_target kind;
    double target;
};

struct ft_figure {
    const char *row;
    const char *encoding;
    struct ft_figure_spec spec;
    const char *beside_name; /* what it stands beside: "floor"; NULL: nothing */
    double broker, beside;
    double ratio; /* broker / beside: the median of the rounds' own ratios */
    double per_s; /* deliveries (or publications) a second by the clock; 0: says nothing */
    double busy;  /* share of its core that the broker used meanwhile */
};

struct ft_bench {
    /* options */
    const char *fantaild;
    const char *other;    /* a broker that takes the floor's place, or NULL */
    const char *programs; /* the folder where this program lies, and bench/ beside it */
    unsigned rounds;
    double seconds; /* of one round */
    uint32_t connections;
    bool is_msgpack;
    /* where things run */
    int server_core, generator_core;
    /* what came out */
    struct ft_figure figures[FT_FIGURES_MAX];
    size_t figure_count;
    struct ft_problem problem;
};

/* What one round of one side measured. */
struct ft_round {
    double values[FT_VALUES_MAX];
    double per_s, busy;
};

/* A row that measures two sides in turn. */
struct ft_duel {
    const char *row;
    enum ft_encoding encoding;
    const char *beside_name;
    double seconds; /* of one round */
    void *ctx;
    /* Runs one round of one side and fills `round`, which is zero. Notes in bench->problem why not. */
    enum ft_err (*run)(struct ft_bench *bench, const struct ft_duel *duel, enum ft_side side,
                       struct ft_round *round);
    struct ft_figure_spec specs[FT_VALUES_MAX];
    size_t spec_count;
    size_t alone_count; /* the last so many have nothing that could stand beside them */
};

/*
 * Runs bench->rounds rounds, in each the side beside it first, so that whatever else the machine does
 * meets both alike, and adds figures of the medians.
 */
FT_MUST_USE
enum ft_err ft_duel_run(struct ft_bench *bench, const struct ft_duel *duel);

/*
 * A row that runs the same rounds against broker and floor in turn: its connections, what one round
 * does, and what its values mean.
 */
struct ft_contest {
    const char *row;
    enum ft_encoding encoding;
    struct ft_gen_group groups[2]; /* opened in this order */
    size_t group_count;
    struct ft_floor_plan floor; /* all but the frames, which are taken from the broker's own */
    bool has_msg, has_ok;       /* which frames the floor sends */
    const struct ft_gen_hooks *hooks;
    void *ctx;
    double seconds; /* of one round */
    /* Runs one round and fills `round->values`; measures with ft_meter_…(). */
    enum ft_err (*run)(struct ft_gen *gen, void *ctx, double seconds, struct ft_round *round);
    struct ft_figure_spec specs[FT_VALUES_MAX];
    size_t spec_count;
};

/* Runs a contest and adds its figures. */
FT_MUST_USE
enum ft_err ft_contest_run(struct ft_bench *bench, const struct ft_contest *contest);

/* Clock and CPU of a server since ft_meter_begin(). */
struct ft_meter {
    uint64_t start_ns, start_cpu_ns;
    uint64_t end_ns;
};

/* Starts to measure; the round should end `seconds` from now. */
void ft_meter_begin(struct ft_meter *meter, const struct ft_gen *gen, double seconds);

/* Says whether the round's time is over. */
bool ft_meter_is_over(const struct ft_meter *meter);

/* Fills per_s and busy, and returns CPU seconds per million of `count` deliveries. */
double ft_meter_end(const struct ft_meter *meter, const struct ft_gen *gen, uint64_t count,
                    struct ft_round *round);

/* Starts a broker on the server's core, with settings ("journal.size=16m") up to a NULL. */
FT_MUST_USE
enum ft_err ft_bench_start_broker(struct ft_bench *bench, struct ft_server *server,
                                  const char *const settings[]);

/* Scales a number that belongs to a round of a second or more to what fits a shorter one. */
uint32_t ft_bench_scaled(const struct ft_bench *bench, uint32_t count);

/* Adds a figure. */
void ft_bench_add(struct ft_bench *bench, const struct ft_figure *figure);

/* Says whether a figure reaches what it is held to (one with FT_TARGET_NONE does). */
bool ft_figure_is_met(const struct ft_figure *figure);

/* Prints all figures as one table, or as a JSON array. */
void ft_report_table(const struct ft_bench *bench);
void ft_report_json(const struct ft_bench *bench);

/* The name of an encoding, as the table has it. */
const char *ft_bench_encoding(enum ft_encoding encoding);

/* The rows. Each returns the first thing that went wrong, with its text in bench->problem. */
enum ft_err ft_row_fanout_1(struct ft_bench *bench);
enum ft_err ft_row_fanout_32(struct ft_bench *bench);
enum ft_err ft_row_fanout_1k(struct ft_bench *bench);
enum ft_err ft_row_pairs_1000(struct ft_bench *bench);
enum ft_err ft_row_pairs_10(struct ft_bench *bench);
enum ft_err ft_row_rate(struct ft_bench *bench);
enum ft_err ft_row_parked(struct ft_bench *bench);
enum ft_err ft_row_park(struct ft_bench *bench);
enum ft_err ft_row_resume(struct ft_bench *bench);
enum ft_err ft_row_resume_own(struct ft_bench *bench);
enum ft_err ft_row_resume_100(struct ft_bench *bench);
enum ft_err ft_row_resume_live(struct ft_bench *bench);
enum ft_err ft_row_resume_none(struct ft_bench *bench);
enum ft_err ft_row_flat(struct ft_bench *bench);
enum ft_err ft_row_http_publish(struct ft_bench *bench);
enum ft_err ft_row_http_batch(struct ft_bench *bench);
enum ft_err ft_row_events(struct ft_bench *bench);
enum ft_err ft_row_relay_latency(struct ft_bench *bench);
enum ft_err ft_row_relay_flat(struct ft_bench *bench);
enum ft_err ft_row_relay_ephemeral(struct ft_bench *bench);
enum ft_err ft_row_relay_receive(struct ft_bench *bench);
enum ft_err ft_row_relay_heal(struct ft_bench *bench);
enum ft_err ft_row_idle(struct ft_bench *bench);
enum ft_err ft_row_trie(struct ft_bench *bench);
enum ft_err ft_row_codec(struct ft_bench *bench);

#endif
