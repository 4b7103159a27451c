/*
 * Rows of a node that takes in what others publish: the bench calls the broker's script, in batches of 64
 * publications, and the node, alone on the server's core, journals what comes on its channel. Redis and the
 * bench share the other core. Either each publication is delivered to a subscriber, which checks them all, or
 * one of each batch; the node's own count then tells of the others. Beside it stands a bare reader on the same
 * core, of the same bytes on another channel. Runs on the bench's only thread.
 */
#include "clients/cli/bench/load.h"
#include "clients/cli/bench/redis.h"

#include "clients/cli/bench/stats.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEARD       "bench/heard" /* as long as the other */
#define SILENT      "bench/quiet"
#define BARE        "bench"
#define DATA_LEN    128
#define BATCH       64
#define ENTRY_MAX   256
#define COMMAND_MAX 65536
#define IN_FLIGHT   64 /* batches that the node may be behind */
#define ANSWER_MS   5000

#define RECEIVED_METRIC "fantail_relay_received_publications_total{kind=\"stored\"}"
#define HOLES_METRIC    "fantail_relay_holes_total"

struct receive {
    struct ft_cluster cluster;
    struct ft_gen gen;
    struct ft_buffer entries, command;
    struct ft_buffer bare;               /* PUBLISH of the same entries */
    size_t stamps[BATCH];                /* in the command, of those that are heard */
    uint32_t heard;                      /* publications of a batch, the last ones */
    uint32_t sequence;                   /* of the next that is heard */
    uint64_t calls, calls_bare, answers; /* of the script, and of PUBLISH; of both */
};

/* Lays a call of the script out: only its stamps change from batch to batch. */
static void make_command(struct receive *receive)
{
    struct ft_slice args[FT_SCRIPT_ARGS];
    char count[16];
    for (uint32_t i = 0; i < BATCH; i++) {
        bool is_heard = i >= BATCH - receive->heard;
        size_t at = ft_script_add_entry(&receive->entries, is_heard ? HEARD : SILENT, DATA_LEN);
        if (is_heard)
            receive->stamps[i - (BATCH - receive->heard)] = at;
    }
    snprintf(count, sizeof(count), "%d", BATCH);
    ft_script_args(&receive->cluster, FT_SCRIPT_CHANNEL, count, ft_buffer_slice(&receive->entries),
                   args);
    ft_resp_write(&receive->command, args, FT_SCRIPT_ARGS);
    size_t entries_at = receive->command.len - receive->entries.len - 2;
    for (uint32_t i = 0; i < receive->heard; i++)
        receive->stamps[i] += entries_at;
    const struct ft_slice publish[] = {ft_slice_str("PUBLISH"), ft_slice_str(BARE),
                                       ft_buffer_slice(&receive->entries)};
    ft_resp_write(&receive->bare, publish, 3);
}

static enum ft_err call(struct receive *receive, struct ft_problem *problem)
{
    for (uint32_t i = 0; i < receive->heard; i++)
        ft_stamp_put(0, receive->sequence++, receive->command.ptr + receive->stamps[i]);
    receive->calls++;
    return ft_resp_send(&receive->cluster.client, ft_buffer_slice(&receive->command), problem);
}

/* Takes answers of the script that are there, or waits for one. */
static enum ft_err take_answers(struct receive *receive, int timeout_ms, struct ft_problem *problem)
{
    struct ft_slice reply;
    for (;;) {
        enum ft_err err = ft_resp_next(&receive->cluster.client, timeout_ms, &reply, problem);
        if (err != FT_OK || reply.ptr == NULL)
            return err;
        if (reply.ptr[0] == '-')
            return ft_problem_set(problem, FT_ERR_INTERNAL, "Redis failed: %.*s", (int)reply.len,
                                  (const char *)reply.ptr);
        receive->answers++;
        timeout_ms = 0;
    }
}

/* Feeds Redis until the time is over, never further ahead of the node than IN_FLIGHT batches. */
static enum ft_err feed(struct receive *receive, const struct ft_meter *meter,
                        struct ft_problem *problem)
{
    struct ft_gen *gen = &receive->gen;
    enum ft_err err = FT_OK;
    while (err == FT_OK && !ft_meter_is_over(meter)) {
        uint64_t taken = gen->delivered / receive->heard;
        if (receive->calls - taken < IN_FLIGHT)
            err = call(receive, problem);
        else
            err = ft_gen_poll(gen, ANSWER_MS);
        uint64_t due = receive->calls + receive->calls_bare - receive->answers;
        if (err == FT_OK && due >= IN_FLIGHT / 2)
            err = take_answers(receive, due >= IN_FLIGHT ? ANSWER_MS : 0, problem);
    }
    while (err == FT_OK && receive->answers < receive->calls + receive->calls_bare)
        err = take_answers(receive, ANSWER_MS, problem);
    if (err == FT_OK)
        err = ft_gen_await(gen, &gen->delivered, receive->calls * receive->heard);
    if (gen->problem.err != FT_OK)
        *problem = gen->problem;
    return err;
}

/* Compares what the node says that it took with what was published. */
static enum ft_err check_taken(struct receive *receive, struct ft_problem *problem)
{
    double taken = 0, holes = 0;
    enum ft_err err =
        ft_server_metric(&receive->cluster.nodes[0], RECEIVED_METRIC, &taken, problem);
    if (err == FT_OK)
        err = ft_server_metric(&receive->cluster.nodes[0], HOLES_METRIC, &holes, problem);
    if (err != FT_OK)
        return err;
    if ((uint64_t)taken != receive->calls * BATCH || holes > 0)
        return ft_problem_set(problem, FT_ERR_INTERNAL,
                              "%llu publications were sent, %.0f taken in, with %.0f holes",
                              (unsigned long long)(receive->calls * BATCH), taken, holes);
    return FT_OK;
}

/* The bare reader, a child: for each message that it has read it writes a byte, the first for its subscription. */
static void read_bare(const struct ft_cluster *cluster, int core, int out_fd)
{
    struct ft_resp resp;
    struct ft_slice reply;
    struct ft_problem problem = {.err = FT_OK};
    ft_server_become(core);
    if (ft_resp_open(&resp, &cluster->redis.address, &problem) != FT_OK ||
        ft_resp_ask(&resp, "SUBSCRIBE " BARE, &reply, &problem) != FT_OK)
        _exit(1);
    while (write(out_fd, "", 1) == 1)
        if (ft_resp_next(&resp, -1, &reply, &problem) != FT_OK)
            _exit(1);
    _exit(0);
}

/* Takes the bytes that the reader has written, or waits for one. */
static enum ft_err take_bytes(int fd, int timeout_ms, uint64_t *taken, struct ft_problem *problem)
{
    uint8_t bytes[256];
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (poll(&readable, 1, timeout_ms) == 0)
        return timeout_ms == 0
                   ? FT_OK
                   : ft_problem_set(problem, FT_ERR_TIMEOUT, "the bare reader has stopped");
    ssize_t n = read(fd, bytes, sizeof(bytes));
    if (n <= 0)
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "the bare reader has ended");
    *taken += (uint64_t)n;
    return FT_OK;
}

/* Feeds the bare reader as feed() does the node. Returns how many messages it took. */
static enum ft_err feed_bare(struct receive *receive, int fd, double seconds, uint64_t *taken,
                             struct ft_problem *problem)
{
    uint64_t end_ns = ft_clock_mono_ns() + (uint64_t)(seconds * 1e9), sent = 0;
    enum ft_err err = FT_OK;
    while (err == FT_OK && (*taken < sent || ft_clock_mono_ns() < end_ns)) {
        bool is_over = ft_clock_mono_ns() >= end_ns;
        if (!is_over && sent - *taken < IN_FLIGHT) {
            err = ft_resp_send(&receive->cluster.client, ft_buffer_slice(&receive->bare), problem);
            receive->calls_bare++;
            sent++;
        }
        bool must_wait = is_over || sent - *taken >= IN_FLIGHT;
        if (err == FT_OK)
            err = take_bytes(fd, must_wait ? ANSWER_MS : 0, taken, problem);
        if (err == FT_OK)
            err = take_answers(receive, 0, problem);
    }
    while (err == FT_OK && receive->answers < receive->calls + receive->calls_bare)
        err = take_answers(receive, ANSWER_MS, problem);
    return err;
}

static enum ft_err run_bare(struct ft_bench *bench, struct receive *receive, double seconds,
                            struct ft_round *round)
{
    struct ft_server reader = {.is_floor = true};
    uint64_t subscribed = 0, taken = 0;
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0 || (reader.pid = fork()) < 0)
        return ft_problem_set(&bench->problem, FT_ERR_UNAVAILABLE, "cannot fork: %s",
                              strerror(errno));
    if (reader.pid == 0)
        read_bare(&receive->cluster, bench->server_core, out[1]);
    close(out[1]);
    enum ft_err err = take_bytes(out[0], ANSWER_MS, &subscribed, &bench->problem);
    uint64_t start_ns = ft_clock_mono_ns(), cpu_ns = ft_stats_cpu_ns(reader.pid);
    if (err == FT_OK)
        err = feed_bare(receive, out[0], seconds, &taken, &bench->problem);
    double publications = (double)taken * BATCH;
    if (err == FT_OK && taken > 0) {
        round->values[0] = publications / (double)(ft_clock_mono_ns() - start_ns) * 1e9;
        round->values[1] = (double)(ft_stats_cpu_ns(reader.pid) - cpu_ns) / 1e3 / publications;
    }
    ft_server_stop(&reader);
    close(out[0]);
    return err;
}

static enum ft_err run_round(struct ft_bench *bench, const struct ft_duel *duel, enum ft_side side,
                             struct ft_round *round)
{
    struct receive *receive = duel->ctx;
    struct ft_meter meter;
    uint64_t before = receive->calls;
    if (side == FT_SIDE_BESIDE)
        return run_bare(bench, receive, duel->seconds, round);
    ft_meter_begin(&meter, &receive->gen, duel->seconds);
    enum ft_err err = feed(receive, &meter, &bench->problem);
    if (err != FT_OK)
        return err;
    round->values[1] =
        ft_meter_end(&meter, &receive->gen, (receive->calls - before) * BATCH, round);
    round->values[0] = round->per_s;
    return check_taken(receive, &bench->problem);
}

static enum ft_err open_row(struct ft_bench *bench, struct receive *receive,
                            enum ft_encoding encoding)
{
    enum ft_err err = ft_cluster_start(bench, &receive->cluster, bench->generator_core);
    if (err == FT_OK)
        err = ft_cluster_load_script(&receive->cluster, &bench->problem);
    if (err == FT_OK)
        err = ft_cluster_add(bench, &receive->cluster, 0, bench->server_core);
    if (err != FT_OK)
        return err;
    make_command(receive);
    ft_gen_init(&receive->gen, &receive->cluster.nodes[0], encoding, 1);
    err = ft_gen_connect(&receive->gen, &(struct ft_gen_group){
                                            .role = FT_GEN_SUBSCRIBER, .count = 1, .topic = HEARD});
    if (err != FT_OK)
        bench->problem = receive->gen.problem;
    return err;
}

static enum ft_err run_row(struct ft_bench *bench, const char *row, uint32_t heard, double target)
{
    struct receive *receive = ft_alloc_zero(sizeof(*receive));
    struct ft_round warm_up = {.per_s = 0};
    struct ft_duel duel = {
        .row = row,
        .encoding = bench->is_msgpack ? FT_MSGPACK : FT_JSON,
        .beside_name = "bare reader",
        .seconds = bench->seconds,
        .ctx = receive,
        .run = run_round,
        .specs = {{"publications/s", target > 0 ? FT_TARGET_AT_LEAST : FT_TARGET_NONE, target},
                  {"CPU s/M publications", FT_TARGET_NONE, 0}},
        .spec_count = 2,
    };
    receive->heard = heard;
    ft_buffer_init(&receive->entries, (size_t)BATCH * ENTRY_MAX);
    ft_buffer_init(&receive->command, COMMAND_MAX);
    ft_buffer_init(&receive->bare, COMMAND_MAX);
    enum ft_err err = open_row(bench, receive, duel.encoding);
    if (err == FT_OK)
        err = run_round(bench, &duel, FT_SIDE_BROKER, &warm_up);
    if (err == FT_OK)
        err = ft_duel_run(bench, &duel);
    if (receive->gen.conns != NULL)
        ft_gen_fini(&receive->gen);
    ft_cluster_stop(&receive->cluster);
    ft_buffer_fini(&receive->entries);
    ft_buffer_fini(&receive->command);
    ft_buffer_fini(&receive->bare);
    free(receive);
    return err;
}

enum ft_err ft_row_relay_receive(struct ft_bench *bench)
{
    if (!ft_redis_is_there("relay-receive"))
        return FT_OK;
    enum ft_err err = run_row(bench, "a node takes in from Redis, 128 B", 1, 300e3);
    return err != FT_OK ? err : run_row(bench, "the same, and delivers all to one", BATCH, 0);
}
