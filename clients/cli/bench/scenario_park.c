/*
 * The row of readers that never read: 5,000 publications a second for 100 of them, what that costs the
 * broker in memory, and the others in latency, beside the same without the 100. At the end they read
 * again, and have to get everything that the journal still has, in order, after at most one gap. What it
 * still has is what a new session gets that asks for all. Runs on the bench's only thread.
 */
#include "clients/cli/bench/catchup.h"
#include "clients/cli/bench/live.h"
#include "clients/cli/bench/stats.h"

#include "broker/base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPIC        "bench/park"
#define READERS      100
#define DATA_LEN     1024
#define PER_S        5000
#define TICKS        5 /* of live traffic: 10 ms each */
#define PER_TICK     (PER_S / FT_LIVE_PER_S / TICKS)
#define LATE_MAX     50 /* ticks that are made up for at once */
#define JOURNAL_MAX  64
#define FLUSH_BYTES  65536 /* limits.flush, the default: what one reader's socket may leave over */
#define SLACK_BYTES  4194304 /* indexes, open chunks, the others */
#define FIRST_READER FT_LIVE_SUBSCRIBERS

struct park {
    struct ft_server server;
    struct ft_gen gen;
    struct ft_live live;
    struct ft_load load;
    uint8_t *frames;
    uint32_t readers;     /* parked ones: READERS or none */
    uint32_t feeder;      /* index of the connection that publishes for them */
    uint64_t rss_bytes;   /* before anything was published */
    uint32_t oldest_kept; /* sequence */
    uint32_t lost[READERS];
    uint64_t finished; /* readers that got the last publication */
    char stream[32];
};

/* ---- while they do not read ---- */

static enum ft_err feed(struct ft_gen *gen, struct ft_live *live, uint32_t ticks)
{
    struct park *park = live->ctx;
    struct ft_gen_conn *feeder = &gen->conns[park->feeder];
    uint8_t *end = park->frames;
    uint32_t count = (ticks < LATE_MAX ? ticks : LATE_MAX) * PER_TICK;
    for (uint32_t i = 0; i < count; i++)
        end = ft_load_put(&park->load, 0, feeder->sent++, end);
    return ft_gen_send(gen, feeder, ft_slice(park->frames, (size_t)(end - park->frames)));
}

static const struct ft_gen_hooks live_hooks = {.on_msg = ft_live_note};

static enum ft_err connect_all(struct park *park)
{
    const struct ft_gen_group readers = {
        .role = FT_GEN_SUBSCRIBER, .count = park->readers, .topic = TOPIC, .is_parked = true};
    const struct ft_gen_group publishers = {.role = FT_GEN_PUBLISHER, .count = 2};
    const struct ft_gen_group probe = {.role = FT_GEN_SUBSCRIBER, .count = 1};
    struct ft_gen *gen = &park->gen;
    enum ft_err err = ft_gen_connect(gen, &ft_live_subscribers);
    if (err == FT_OK)
        err = ft_gen_connect(gen, &readers);
    if (err == FT_OK)
        err = ft_gen_connect(gen, &publishers);
    return err != FT_OK ? err : ft_gen_connect(gen, &probe);
}

static enum ft_err open_park(struct ft_bench *bench, struct park *park, uint32_t readers,
                             const char *journal_size)
{
    /* Who does not read stays, however long the row takes. */
    const char *const settings[] = {journal_size, "limits.write_timeout=3600s", "limits.ping=3600s",
                                    NULL};
    enum ft_encoding encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON;
    park->readers = readers;
    park->feeder = FIRST_READER + readers;
    ft_live_init(&park->live, encoding);
    park->live.publisher = park->feeder + 1;
    park->live.ticks = TICKS;
    park->live.on_tick = feed;
    park->live.ctx = park;
    ft_load_init(&park->load, &(struct ft_load_spec){
                                  .encoding = encoding, .topic = TOPIC, .data_len = DATA_LEN});
    park->frames = ft_alloc(LATE_MAX * PER_TICK * park->load.frame_size);
    enum ft_err err = ft_bench_start_broker(bench, &park->server, settings);
    if (err != FT_OK)
        return err;
    ft_gen_init(&park->gen, &park->server, encoding, park->live.publisher + 2);
    park->gen.hooks = &live_hooks;
    park->gen.ctx = &park->live;
    err = connect_all(park);
    park->rss_bytes = ft_stats_rss_bytes(park->server.pid);
    return err;
}

static void close_park(struct ft_bench *bench, struct park *park)
{
    if (bench->problem.err == FT_OK)
        bench->problem = park->gen.problem;
    if (park->gen.conns != NULL)
        ft_gen_fini(&park->gen);
    ft_load_fini(&park->load);
    ft_live_fini(&park->live);
    free(park->frames);
    ft_server_stop(&park->server);
}

static enum ft_err run_park(struct ft_bench *bench, const struct ft_duel *duel, enum ft_side side,
                            struct ft_round *round)
{
    struct park *park = (struct park *)duel->ctx + side;
    enum ft_err err = ft_live_run(&park->live, &park->gen, duel->seconds, round);
    (void)bench;
    for (uint32_t i = 0; i < park->readers && err == FT_OK; i++)
        err = ft_gen_check_parked(&park->gen, &park->gen.conns[FIRST_READER + i]);
    return err;
}

/* Waits until the broker has taken in everything that was published. */
static enum ft_err settle(struct park *park)
{
    struct ft_gen *gen = &park->gen;
    uint64_t oks = gen->oks;
    enum ft_err err = ft_gen_ping(gen, &gen->conns[park->feeder]);
    return err != FT_OK ? err : ft_gen_await(gen, &gen->oks, oks + 1);
}

/* ---- when they read again ---- */

static struct ft_gen_conn *probe_of(struct park *park)
{
    return &park->gen.conns[park->gen.count - 1];
}

static void on_ok(struct ft_gen *gen, struct ft_gen_conn *conn, const struct ft_envelope *env)
{
    struct park *park = gen->ctx;
    uint64_t offset;
    (void)conn;
    if (env->positions.count > 0 && !ft_catchup_read_position(env, park->stream, &offset))
        ft_gen_fail(gen, FT_ERR_INTERNAL, "a subscription's ok carries no position");
}

static void on_gap(struct ft_gen *gen, struct ft_gen_conn *conn, const struct ft_envelope *env)
{
    struct park *park = gen->ctx;
    uint32_t reader = (uint32_t)(conn - gen->conns) - FIRST_READER;
    if (conn == probe_of(park))
        return;
    if (conn->gaps > 1)
        ft_gen_fail(gen, FT_ERR_INTERNAL, "reader %u was told of a second gap", reader);
    conn->takes_any = true;
    conn->in_flight = conn->next_seq;
    park->lost[reader] = env->has_lost ? (uint32_t)env->lost : 0;
}

/* The first publication behind a gap has to be the oldest that is kept. */
static void check_gap(struct park *park, const struct ft_gen_conn *conn, uint32_t seq)
{
    uint32_t reader = (uint32_t)(conn - park->gen.conns) - FIRST_READER;
    uint32_t lost = seq - conn->in_flight;
    if (seq != park->oldest_kept)
        ft_gen_fail(&park->gen, FT_ERR_INTERNAL,
                    "reader %u goes on with sequence %u behind its gap, the oldest kept is %u",
                    reader, seq, park->oldest_kept);
    if (park->lost[reader] != 0 && park->lost[reader] != lost)
        ft_gen_fail(&park->gen, FT_ERR_INTERNAL, "reader %u was told of %u lost, and lost %u",
                    reader, park->lost[reader], lost);
}

static void on_msg(struct ft_gen *gen, struct ft_gen_conn *conn, uint32_t seq)
{
    struct park *park = gen->ctx;
    if (conn == probe_of(park) && conn->sent++ == 0)
        park->oldest_kept = seq;
    if (conn->in_flight != 0) {
        check_gap(park, conn, seq);
        conn->in_flight = 0;
    }
    if (seq == gen->conns[park->feeder].sent - 1)
        park->finished++;
}

static enum ft_err await_finished(struct park *park, uint64_t target)
{
    enum ft_err err = FT_OK;
    while (err == FT_OK && park->finished < target)
        err = ft_gen_await(&park->gen, &park->gen.delivered, park->gen.delivered + 1);
    return err;
}

/* Lets a new session ask for all that there is, and notes with which publication that begins. */
static enum ft_err find_oldest(struct park *park)
{
    struct ft_gen *gen = &park->gen;
    char since[64];
    uint64_t oks = gen->oks;
    enum ft_err err = ft_gen_subscribe(gen, probe_of(park), FT_LIVE_TOPIC, NULL);
    if (err == FT_OK)
        err = ft_gen_await(gen, &gen->oks, oks + 1);
    if (err != FT_OK)
        return err;
    snprintf(since, sizeof(since), "%s.0", park->stream);
    probe_of(park)->takes_any = true;
    err = ft_gen_subscribe(gen, probe_of(park), TOPIC, since);
    return err != FT_OK ? err : await_finished(park, 1);
}

static enum ft_err read_again(struct ft_bench *bench, struct park *park, struct ft_figure figure)
{
    static const struct ft_gen_hooks hooks = {.on_msg = on_msg, .on_ok = on_ok, .on_gap = on_gap};
    struct ft_gen *gen = &park->gen;
    struct ft_round round;
    struct ft_meter meter;
    gen->hooks = &hooks;
    gen->ctx = park;
    enum ft_err err = find_oldest(park);
    uint64_t before = gen->delivered;
    ft_meter_begin(&meter, gen, 0);
    for (uint32_t i = 0; i < READERS && err == FT_OK; i++)
        err = ft_gen_unpark(gen, &gen->conns[FIRST_READER + i]);
    if (err == FT_OK)
        err = await_finished(park, READERS + 1);
    if (err != FT_OK)
        return err;
    figure.spec = (struct ft_figure_spec){.name = "read again: CPU s/M"};
    figure.broker = ft_meter_end(&meter, gen, gen->delivered - before, &round);
    figure.per_s = round.per_s;
    figure.busy = round.busy;
    ft_bench_add(bench, &figure);
    return FT_OK;
}

/* ---- the row ---- */

static double grown_mb(const struct park *park)
{
    return ((double)ft_stats_rss_bytes(park->server.pid) - (double)park->rss_bytes) / 1e6;
}

/* A little more than half of what is published: 64 MiB of 20 s. */
static unsigned journal_mib(const struct ft_bench *bench)
{
    double mib = bench->seconds * bench->rounds * JOURNAL_MAX / 20;
    return mib < 1 ? 1 : mib > JOURNAL_MAX ? JOURNAL_MAX : (unsigned)mib;
}

/* Adds what the row measures once, when all rounds are over. */
static enum ft_err run_end(struct ft_bench *bench, const struct ft_duel *duel, struct park *parks)
{
    double bound = journal_mib(bench) * 1048576.0 + READERS * FLUSH_BYTES + SLACK_BYTES;
    struct ft_figure figure = {.row = duel->row,
                               .encoding = ft_bench_encoding(duel->encoding),
                               .spec = {"RSS MB grown", FT_TARGET_AT_MOST, bound / 1e6},
                               .beside_name = duel->beside_name};
    for (enum ft_side side = 0; side < FT_SIDES; side++) {
        enum ft_err err = settle(&parks[side]);
        if (err != FT_OK)
            return err;
    }
    figure.broker = grown_mb(&parks[FT_SIDE_BROKER]);
    figure.beside = grown_mb(&parks[FT_SIDE_BESIDE]);
    ft_bench_add(bench, &figure);
    figure.beside_name = NULL;
    return read_again(bench, &parks[FT_SIDE_BROKER], figure);
}

enum ft_err ft_row_park(struct ft_bench *bench)
{
    struct park *parks = ft_alloc_zero(FT_SIDES * sizeof(*parks));
    struct ft_duel duel = {
        .row = "5,000/s of 1 KB for 100 who do not read",
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .beside_name = "without",
        .seconds = bench->seconds,
        .ctx = parks,
        .run = run_park,
        .specs = {{"others' p50 us", FT_TARGET_NONE, 0},
                  {"others' p99 us", FT_TARGET_RATIO_AT_MOST, 2}},
        .spec_count = 2,
    };
    char journal_size[64];
    snprintf(journal_size, sizeof(journal_size), "journal.size=%um", journal_mib(bench));
    enum ft_err err = open_park(bench, &parks[FT_SIDE_BESIDE], 0, journal_size);
    if (err == FT_OK)
        err = open_park(bench, &parks[FT_SIDE_BROKER], READERS, journal_size);
    if (err == FT_OK)
        err = ft_duel_run(bench, &duel);
    if (err == FT_OK)
        err = run_end(bench, &duel, parks);
    for (enum ft_side side = 0; side < FT_SIDES; side++)
        close_park(bench, &parks[side]);
    free(parks);
    return err;
}
