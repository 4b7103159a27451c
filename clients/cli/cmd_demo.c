/*
 * `fantail demo`: publishes this machine's own live figures, each on a topic of its own, so that
 * there is something real to subscribe to. The main thread.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/clock.h"
#include "clients/cli/feeder.h"
#include "clients/cli/link.h"

struct demo {
    struct ft_link link;
    struct ft_feeder *feeder;
    double rate;      /* readings a second */
    double seconds;   /* 0: without end */
    uint64_t refused; /* publications that the broker did not take */
    char why[200];    /* the first time */
};

static void on_result(struct fantail *f, const struct fantail_result *result, void *user)
{
    (void)f;
    struct demo *demo = user;
    if (result->code == 0 || result->code == FANTAIL_LOST || result->code == FANTAIL_UNAVAILABLE)
        return; /* figures of the moment: what a break took is not missed */
    if (demo->refused++ == 0)
        snprintf(demo->why, sizeof(demo->why), "%d: %s", result->code, result->message);
}

static void publish(void *context, const char *topic, struct ft_slice json, bool is_last_value)
{
    struct demo *demo = context;
    struct fantail_publish_options options = {
        .retain = is_last_value, .on_result = on_result, .user = demo};
    /* Not taken when the queue is full: the next reading is newer anyway. */
    int code =
        fantail_publish(demo->link.client, topic, FANTAIL_JSON, json.ptr, json.len, &options);
    if (code != 0 && code != FANTAIL_FULL && demo->refused++ == 0)
        snprintf(demo->why, sizeof(demo->why), "%d: %s", code,
                 fantail_error_text(demo->link.client));
}

static uint64_t ns(double seconds)
{
    return (uint64_t)(seconds * 1e9);
}

static void run(struct demo *demo)
{
    uint64_t step_ns = ns(1 / demo->rate);
    uint64_t next_ns = 0; /* set once the connection is open */
    uint64_t end_ns = demo->seconds > 0 ? ft_clock_mono_ns() + ns(demo->seconds) : UINT64_MAX;
    bool was_open = false;
    for (;;) {
        uint64_t now_ns = ft_clock_mono_ns();
        if (now_ns >= end_ns || ft_link_is_interrupted() || demo->refused > 0)
            return;
        bool is_open = fantail_state(demo->link.client) == FANTAIL_OPEN;
        if (is_open && !was_open)
            ft_feeder_forget(demo->feeder);
        was_open = is_open;
        if (is_open && now_ns >= next_ns) {
            ft_feeder_read(demo->feeder, now_ns, publish, demo);
            /* After a stall from now on, not from then. */
            next_ns = now_ns - next_ns > step_ns ? now_ns + step_ns : next_ns + step_ns;
        }
        uint64_t until_ns = is_open && next_ns < end_ns ? next_ns : end_ns;
        now_ns = ft_clock_mono_ns();
        uint64_t wait_ms = until_ns > now_ns ? (until_ns - now_ns) / 1000000 + 1 : 0;
        if (!fantail_run(demo->link.client, wait_ms > 1000 ? 1000 : (int)wait_ms))
            return;
    }
}

static int feed(struct demo *demo, const struct ft_link_options *options)
{
    if (!ft_link_open(&demo->link, options, demo))
        return demo->link.exit_code;
    demo->feeder = ft_feeder_new();
    printf("publishing %s/… %g times a second; see it with: fantail sub -v 'demo/+/cpu/#'\n",
           ft_feeder_prefix(demo->feeder), demo->rate);
    fflush(stdout);
    run(demo);
    ft_link_close(&demo->link);
    ft_feeder_free(demo->feeder);
    if (demo->refused > 0)
        ft_link_fail(&demo->link, FT_EXIT_FAILED, "a publication was refused with %s", demo->why);
    return demo->link.exit_code;
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts(
        "usage: fantail demo [OPTION]…\n\n"
        "Publishes this machine's live figures, read from /proc, as JSON objects:\n\n"
        "  demo/HOST/cpu/total, demo/HOST/cpu/N   shares of the last second, in percent\n"
        "  demo/HOST/memory, demo/HOST/load       bytes; run queue and tasks\n"
        "  demo/HOST/disk/DEVICE                  bytes, operations and busy time a second\n"
        "  demo/HOST/net/INTERFACE                bytes and packets a second\n"
        "  demo/HOST/kernel/GROUP/NAME            some 500 counters of the kernel, each retained and\n"
        "                                         published again when it has changed\n");
    ft_flags_print(flags, n, stdout);
    puts("\nexit codes: 0 done or interrupted, 1 refused, 2 wrong command line, 3 no connection");
}

int ft_cmd_demo(int argc, char **argv)
{
    struct demo demo = {.rate = 10};
    struct ft_link_options link = {0};
    bool is_help = false;
    const struct ft_flag flags[] = {
        {'\0', "rate", "R", FT_FLAG_NUMBER, &demo.rate, "readings a second; default 10"},
        {'\0', "seconds", "N", FT_FLAG_NUMBER, &demo.seconds, "end after so long"},
        FT_LINK_FLAGS(&link),
        {'h', "help", NULL, FT_FLAG_SWITCH, &is_help, "print this"},
    };
    const size_t n = sizeof(flags) / sizeof(flags[0]);
    struct ft_problem problem;
    if (ft_flags_parse(flags, n, &argc, argv, &problem) != FT_OK) {
        fprintf(stderr, "fantail demo: %s\n", problem.text);
        return FT_EXIT_USAGE;
    }
    if (is_help) {
        print_help(flags, n);
        return FT_EXIT_OK;
    }
    if (argc > 1) {
        fprintf(stderr, "fantail demo: it takes no argument: %s\n", argv[1]);
        return FT_EXIT_USAGE;
    }
    if (demo.rate > 1000) {
        fputs("fantail demo: --rate is at most 1000: the kernel's figures change no faster\n",
              stderr);
        return FT_EXIT_USAGE;
    }
    return feed(&demo, &link);
}
