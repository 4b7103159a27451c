/*
 * `fantail bench`: reads the options, pins itself beside the server, runs the rows, prints the table.
 * Each row starts and stops its own servers. The process has one thread.
 */
#include "clients/cli/bench/bench.h"

#include "broker/base/clock.h"
#include "clients/cli/bench/stats.h"
#include "clients/cli/command.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct row {
    const char *name;
    enum ft_err (*run)(struct ft_bench *bench);
    const char *help;
} rows[] = {
    {"fanout-1", ft_row_fanout_1, "1 topic, 1,000 subscribers, 128 B, one publication at a time"},
    {"fanout-32", ft_row_fanout_32, "the same, bursts of 32"},
    {"fanout-1k", ft_row_fanout_1k, "1 topic, 100 subscribers, 1 KB, bursts of 32"},
    {"pairs-1000", ft_row_pairs_1000, "1,000 topics and 1,000 publishers with one in flight each"},
    {"pairs-10", ft_row_pairs_10, "1,000 topics and 10 publishers with 32 in flight each"},
    {"parked", ft_row_parked, "fanout-32 with 100 of the 1,000 that do not read"},
    {"rate", ft_row_rate, "1 topic, 100 subscribers, 100 publications a second: latency"},
    {"flat", ft_row_flat, "10 publishers flat out, no subscriber, both encodings"},
    {"http-publish", ft_row_http_publish, "POST /v1/publish beside nginx that answers 204"},
    {"http-batch", ft_row_http_batch, "the same, arrays of 100"},
    {"events", ft_row_events, "fanout-1 and fanout-32 as event streams, beside WebSockets"},
    {"resume", ft_row_resume, "1,000 sessions catch up with 10,000 publications each"},
    {"resume-own", ft_row_resume_own, "the same, each from a position of its own"},
    {"resume-100", ft_row_resume_100, "the same, 100 topics in turn and one wildcard filter"},
    {"resume-none", ft_row_resume_none, "1,000 sessions resume and need nothing"},
    {"resume-live", ft_row_resume_live, "`rate` while 1,000 others catch up"},
    {"park", ft_row_park,
     "100 readers that do not read, 5,000 publications a second: memory, latency"},
    {"relay-latency", ft_row_relay_latency, "node to node through Redis, 1,000 a second: latency"},
    {"relay-flat", ft_row_relay_flat,
     "10 publishers flat out through Redis, beside its script alone"},
    {"relay-ephemeral", ft_row_relay_ephemeral, "the same, ephemeral, beside PUBLISH alone"},
    {"relay-receive", ft_row_relay_receive, "a node takes in what others publish, on one core"},
    {"relay-heal", ft_row_relay_heal, "how soon what the relay lost is there"},
    {"idle", ft_row_idle, "18,000 idle connections: memory and CPU"},
    {"trie", ft_row_trie, "the filter index alone, with a million filters"},
    {"codec", ft_row_codec, "the envelope reader alone"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const char usage[] =
    "usage: fantail bench [OPTION…] [ROW…]\n"
    "\n"
    "Measures fantaild on this machine: starts one with one worker, pinned to a core of its own, loads\n"
    "it from another core, and sets every figure beside that of a bare epoll server that sends the same\n"
    "bytes, or of the broker without what is measured. Every sequence number is checked: a publication\n"
    "that is lost, doubled or out of order ends the run with exit status 1. A figure that misses its\n"
    "target does not.\n"
    "\n"
    "The rows `http-…` take wrk as their load, and nginx, answering 204, to stand beside the broker on\n"
    "its core; without these programs they are left out. They last whole seconds, and speak JSON, as\n"
    "`events` does.\n"
    "\n"
    "  --rounds N       rounds of each row, floor and broker in turn; medians are shown (5)\n"
    "  --seconds S      length of a round (1); below 1, fewer sessions have less to catch up with\n"
    "  --connections N  connections of the row `idle` (18000)\n"
    "  --msgpack        MessagePack instead of JSON\n"
    "  --fantaild PATH  the broker (beside this program)\n"
    "  --other PATH     another broker in the place of the floor, to compare the two\n"
    "  --json           print a JSON array instead of the table\n"
    "  --list           list the rows and end\n";

struct options {
    bool is_json, is_list, is_help;
    char programs[PATH_MAX - 16]; /* leaves room for a name behind it */
    char fantaild[PATH_MAX];
};

/* Below this share, what else the machine does is lost in the noise between rounds. */
#define OTHERS_PERCENT 5

static int fail_usage(const char *option, const char *value, const char *right)
{
    fprintf(stderr, "fantail bench: %s cannot be \"%s\": %s\n", option, value, right);
    return -1;
}

static int read_number(const char *option, const char *text, double least, double most, double *out)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (errno != 0 || *end != '\0' || end == text || !(value >= least && value <= most)) {
        char right[64];
        snprintf(right, sizeof(right), "it is a number from %g to %g", least, most);
        return fail_usage(option, text, right);
    }
    *out = value;
    return 0;
}

enum option_code {
    OPTION_ROUNDS = 1,
    OPTION_SECONDS,
    OPTION_CONNECTIONS,
    OPTION_MSGPACK,
    OPTION_FANTAILD,
    OPTION_OTHER,
    OPTION_JSON,
    OPTION_LIST,
    OPTION_HELP
};

static const struct option long_options[] = {
    {"rounds", required_argument, NULL, OPTION_ROUNDS},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"msgpack", no_argument, NULL, OPTION_MSGPACK},
    {"fantaild", required_argument, NULL, OPTION_FANTAILD},
    {"other", required_argument, NULL, OPTION_OTHER},
    {"json", no_argument, NULL, OPTION_JSON},
    {"list", no_argument, NULL, OPTION_LIST},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0}};

static int take_option(int code, struct ft_bench *bench, struct options *options)
{
    double number = 0;
    switch (code) {
    case OPTION_ROUNDS:
        if (read_number("--rounds", optarg, 1, FT_ROUNDS_MAX, &number) != 0)
            return -1;
        bench->rounds = (unsigned)number;
        return 0;
    case OPTION_SECONDS:
        return read_number("--seconds", optarg, 0.05, 60, &bench->seconds);
    case OPTION_CONNECTIONS:
        if (read_number("--connections", optarg, 1, 99999, &number) != 0)
            return -1;
        bench->connections = (uint32_t)number;
        return 0;
    case OPTION_MSGPACK:
        bench->is_msgpack = true;
        return 0;
    case OPTION_FANTAILD:
        bench->fantaild = optarg;
        return 0;
    case OPTION_OTHER:
        bench->other = optarg;
        return 0;
    case OPTION_JSON:
        options->is_json = true;
        return 0;
    case OPTION_LIST:
        options->is_list = true;
        return 0;
    case OPTION_HELP:
        options->is_help = true;
        return 0;
    default:
        return -1; /* getopt has said why */
    }
}

/* What was built with this program lies beside it. */
static void find_programs(struct ft_bench *bench, struct options *options)
{
    ssize_t n = readlink("/proc/self/exe", options->programs, sizeof(options->programs) - 1);
    char *slash = n > 0 ? memrchr(options->programs, '/', (size_t)n) : NULL;
    if (slash == NULL)
        slash = stpcpy(options->programs, ".");
    *slash = '\0';
    snprintf(options->fantaild, sizeof(options->fantaild), "%s/fantaild", options->programs);
    bench->programs = options->programs;
    bench->fantaild = options->fantaild;
}

static int find_row(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Takes the first two cores that this process may use: the server's and its own. */
static void choose_cores(struct ft_bench *bench)
{
    cpu_set_t allowed, own;
    int cores[2] = {0, 0}, found = 0;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        CPU_ZERO(&allowed);
    for (int core = 0; core < CPU_SETSIZE && found < 2; core++)
        if (CPU_ISSET(core, &allowed))
            cores[found++] = core;
    bench->server_core = cores[0];
    bench->generator_core = found == 2 ? cores[1] : cores[0];
    if (found < 2)
        fprintf(stderr,
                "fantail bench: only one core: server and load share it, and the figures say "
                "little\n");
    CPU_ZERO(&own);
    CPU_SET(bench->generator_core, &own);
    (void)sched_setaffinity(0, sizeof(own), &own);
}

static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static void list_rows(void)
{
    for (size_t i = 0; i < ROWS; i++)
        printf("%-15s %s\n", rows[i].name, rows[i].help);
}

/* Runs the rows that are wanted, to the first that fails. */
static enum ft_err run_rows(struct ft_bench *bench, const bool wanted[ROWS])
{
    for (size_t i = 0; i < ROWS; i++) {
        if (!wanted[i])
            continue;
        fprintf(stderr, "fantail bench: %s: %s\n", rows[i].name, rows[i].help);
        enum ft_err err = rows[i].run(bench);
        if (err != FT_OK) {
            fprintf(stderr, "fantail bench: %s failed: %s\n", rows[i].name, bench->problem.text);
            return err;
        }
    }
    return FT_OK;
}

/* Reads the command line; returns 0, or -1 when it is wrong. */
static int read_arguments(int argc, char **argv, struct ft_bench *bench, struct options *options,
                          bool wanted[ROWS])
{
    int code;
    optind = 1;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (take_option(code, bench, options) != 0)
            return -1;
    for (size_t i = 0; i < ROWS; i++)
        wanted[i] = optind == argc;
    for (int i = optind; i < argc; i++) {
        int row = find_row(argv[i]);
        if (row < 0)
            return fail_usage("a row", argv[i], "--list shows the rows");
        wanted[row] = true;
    }
    return 0;
}

/* What the cores have done, and how much of it was this process and the servers that it started. */
struct usage {
    uint64_t wall_ns, busy_ns, own_ns;
};

static struct usage usage_now(const struct ft_bench *bench)
{
    struct usage now = {.wall_ns = ft_clock_mono_ns(), .own_ns = ft_stats_own_cpu_ns()};
    now.busy_ns = ft_stats_core_busy_ns(bench->server_core);
    if (bench->generator_core != bench->server_core)
        now.busy_ns += ft_stats_core_busy_ns(bench->generator_core);
    return now;
}

/* Says so when other processes used the cores: caches are shared with them, and ratios suffer. */
static void warn_unless_quiet(const struct ft_bench *bench, const struct usage *since)
{
    struct usage now = usage_now(bench);
    double cores = bench->generator_core != bench->server_core ? 2 : 1;
    double others = (double)(now.busy_ns - since->busy_ns) - (double)(now.own_ns - since->own_ns);
    double percent = others * 100 / ((double)(now.wall_ns - since->wall_ns) * cores);
    if (percent > OTHERS_PERCENT)
        fprintf(
            stderr,
            "fantail bench: other processes took %.0f %% of the cores meanwhile: the figures are "
            "worse than on a quiet machine\n",
            percent);
}

int ft_cmd_bench(int argc, char **argv)
{
    static struct ft_bench bench; /* large, and only one */
    static struct options options;
    bool wanted[ROWS];
    bench = (struct ft_bench){.rounds = 5, .seconds = 1, .connections = 18000};
    find_programs(&bench, &options);
    if (read_arguments(argc, argv, &bench, &options, wanted) != 0) {
        fprintf(stderr, "Try `fantail bench --help`.\n");
        return 2;
    }
    if (options.is_help) {
        fputs(usage, stdout);
        return 0;
    }
    if (options.is_list) {
        list_rows();
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    choose_cores(&bench);
    raise_file_limit();
    struct usage since = usage_now(&bench);
    enum ft_err err = run_rows(&bench, wanted);
    warn_unless_quiet(&bench, &since);
    if (options.is_json)
        ft_report_json(&bench);
    else
        ft_report_table(&bench);
    return err == FT_OK ? 0 : 1;
}
