/*
 * `fantail sub`: subscribes and prints what arrives, for people and for pipes. The main thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "clients/cli/link.h"
#include "clients/cli/output.h"
#include "clients/cli/place.h"
#include "clients/cli/print.h"

struct sub {
    struct ft_link link;
    struct fantail_subscription *subscription;
    struct ft_output output;
    struct ft_place place; /* --resume; its path is NULL without */
    enum ft_print_form form;
    bool is_done;   /* what comes from now on is neither printed nor counted as had */
    uint64_t count; /* deliveries to end after; 0: no end */
    uint64_t seen;
    double wait_s; /* 0: as long as it takes */
    uint64_t until_ms;
    bool goes_on; /* it was given positions */
};

struct wishes {
    struct ft_link_options link;
    struct ft_flag_texts since;
    const char *resume;
    uint64_t last, every_ms;
    bool is_verbose, is_json, is_raw, is_help;
};

static bool is_over(const struct sub *sub)
{
    return sub->is_done || sub->link.exit_code != FT_EXIT_OK ||
           sub->output.state != FT_OUTPUT_OPEN || ft_link_is_interrupted();
}

/* Takes note of how far it has come; nothing more is printed after the last time. */
static void reach(struct sub *sub)
{
    if (sub->place.path && !sub->is_done)
        ft_place_reach(&sub->place, sub->subscription);
}

/* Everything that a turn brings is printed, also behind a signal: it counts as had. */
static void on_message(struct fantail *f, const struct fantail_message *message, void *user)
{
    (void)f;
    struct sub *sub = user;
    if (sub->is_done)
        return;
    ft_print_message(message, sub->form, &sub->output.bytes);
    ft_output_relieve(&sub->output);
    if (++sub->seen != sub->count)
        return;
    reach(sub);
    sub->is_done = true;
}

static void on_subscribed(struct fantail *f, const struct fantail_result *result, void *user)
{
    (void)f;
    struct sub *sub = user;
    if (result->code != 0)
        ft_link_fail(&sub->link, FT_EXIT_FAILED, "the broker refused the subscription (%d): %s",
                     result->code, result->message);
    else if (sub->goes_on && !result->recovered)
        fputs("fantail: not recovered: publications since these positions may be missing\n",
              stderr);
}

/* Writes what a turn has brought, and only then that it was. */
static void end_turn(struct sub *sub, bool is_last)
{
    ft_output_flush(&sub->output);
    ft_output_check(&sub->output);
    reach(sub);
    if (sub->place.path && sub->output.state == FT_OUTPUT_OPEN &&
        !ft_place_save(&sub->place, ft_clock_mono_ms(), is_last))
        ft_link_fail(&sub->link, FT_EXIT_FAILED, "the position cannot be kept");
}

/* How often a silent feed looks whether anybody still reads it; the protocol's bound of `every`. */
enum { LOOK_MS = 1000, EVERY_MAX_MS = 3600 * 1000 };

static int sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* How long a turn may wait: -1 without a bound, 0 when the time is over. */
static int turn_ms(const struct sub *sub)
{
    uint64_t now_ms = ft_clock_mono_ms();
    int wait_ms = sub->output.is_pipe ? LOOK_MS : -1;
    if (sub->place.path) {
        int due_ms = ft_place_due_ms(&sub->place, now_ms);
        wait_ms = sooner(wait_ms, due_ms == 0 ? 1 : due_ms);
    }
    if (sub->until_ms == 0)
        return wait_ms;
    uint64_t left = now_ms < sub->until_ms ? sub->until_ms - now_ms : 0;
    return sooner(wait_ms, left > LOOK_MS ? LOOK_MS : (int)left);
}

static void run(struct sub *sub)
{
    bool goes_on = true;
    while (goes_on && !is_over(sub)) {
        int wait_ms = turn_ms(sub);
        if (wait_ms == 0) {
            if (sub->count > 0)
                sub->link.exit_code = FT_EXIT_TIMED_OUT;
            break;
        }
        goes_on = fantail_run(sub->link.client, wait_ms);
        end_turn(sub, false);
    }
    end_turn(sub, true);
    sub->is_done = true;
}

static int subscribe(struct sub *sub, const struct wishes *wishes, int n, char **filters)
{
    if (!ft_link_open(&sub->link, &wishes->link, sub))
        return sub->link.exit_code;
    struct fantail_subscribe_options how = {
        .since = sub->place.path ? sub->place.since : wishes->since.items,
        .since_count = sub->place.path ? sub->place.since_count : wishes->since.count,
        .last = (uint32_t)wishes->last,
        .every_ms = (uint32_t)wishes->every_ms,
        .on_result = on_subscribed,
    };
    sub->goes_on = how.since_count > 0;
    int code = fantail_subscribe(sub->link.client, (const char *const *)filters, (size_t)n, &how,
                                 on_message, sub, &sub->subscription);
    if (sub->wait_s > 0)
        sub->until_ms = ft_clock_mono_ms() + (uint64_t)(sub->wait_s * 1000) + 1;
    if (code != 0)
        ft_link_fail(&sub->link, FT_EXIT_USAGE, "%s", fantail_error_text(sub->link.client));
    else
        run(sub);
    ft_link_close(&sub->link);
    if (sub->output.state == FT_OUTPUT_FAILED && sub->link.exit_code == FT_EXIT_OK)
        return FT_EXIT_FAILED;
    return sub->link.exit_code;
}

/* Says what is wrong with the command line, or NULL. */
static const char *check(const struct wishes *wishes, int argc)
{
    if (argc < 2)
        return "which filter? For example: fantail sub 'demo/#'";
    if (wishes->is_verbose + wishes->is_json + wishes->is_raw > 1)
        return "only one of -v, --json and --raw makes sense";
    if (wishes->since.count > 0 && (wishes->last > 0 || wishes->resume))
        return "--since says where to begin, and so do --last and --resume: one of them";
    if (wishes->last > UINT32_MAX)
        return "--last is at most 4294967295";
    if (wishes->every_ms > EVERY_MAX_MS)
        return "--every is at most 3600000, an hour";
    return NULL;
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts("usage: fantail sub FILTER… [OPTION]…\n\n"
         "Prints the data of each publication on a line of its own: strings as they are, other\n"
         "values as JSON, bytes as base64. A string that holds control characters is printed as\n"
         "JSON. In a filter a level may be + (any one level) and the last one # (all below).\n");
    ft_flags_print(flags, n, stdout);
    puts(
        "\nA connection that breaks is made again, to another node where -s names several, and goes on\n"
        "where it was. What could not be recovered, and gaps, are reported on standard error.\n"
        "A position is the `pos` that --json prints. --resume keeps it in FILE, one for each stream of a\n"
        "cluster, once what is before it was written: at the end, and once a second. The first time, and\n"
        "wherever there is no FILE, it begins live (or with --last).\n"
        "\nexit codes: 0 done or interrupted, 1 refused or failed, 2 wrong command line,\n"
        "3 no connection, 4 -W ended before -C was reached");
}

static int open_and_subscribe(struct sub *sub, const struct wishes *wishes, int argc, char **argv)
{
    if (wishes->resume && !ft_place_open(&sub->place, wishes->resume)) {
        ft_place_close(&sub->place);
        return FT_EXIT_FAILED;
    }
    ft_output_init(&sub->output);
    int code = subscribe(sub, wishes, argc - 1, argv + 1);
    ft_output_fini(&sub->output);
    if (wishes->resume)
        ft_place_close(&sub->place);
    return code;
}

int ft_cmd_sub(int argc, char **argv)
{
    struct sub sub = {0};
    struct wishes wishes = {0};
    const struct ft_flag flags[] = {
        {'C', "count", "N", FT_FLAG_COUNT, &sub.count, "end after N publications"},
        {'W', "wait", "SECONDS", FT_FLAG_NUMBER, &sub.wait_s, "end after so long"},
        {'v', "verbose", NULL, FT_FLAG_SWITCH, &wishes.is_verbose,
         "print the topic and a space before the data, and [retained] before last values"},
        {'\0', "json", NULL, FT_FLAG_SWITCH, &wishes.is_json,
         "print each delivery whole, as one line of JSON"},
        {'\0', "raw", NULL, FT_FLAG_SWITCH, &wishes.is_raw,
         "write the bytes of strings and bytes, without newlines"},
        {'\0', "last", "N", FT_FLAG_COUNT, &wishes.last,
         "begin with up to N stored publications of each topic"},
        {'\0', "since", "POS", FT_FLAG_TEXTS, &wishes.since,
         "begin after this position; once for each stream"},
        {'\0', "resume", "FILE", FT_FLAG_TEXT, &wishes.resume,
         "go on where the last run with this file ended"},
        {'\0', "every", "MS", FT_FLAG_COUNT, &wishes.every_ms,
         "at most one publication a topic in so many ms, the newest"},
        FT_LINK_FLAGS(&wishes.link),
        {'h', "help", NULL, FT_FLAG_SWITCH, &wishes.is_help, "print this"},
    };
    const size_t n = sizeof(flags) / sizeof(flags[0]);
    struct ft_problem problem;
    if (ft_flags_parse(flags, n, &argc, argv, &problem) != FT_OK) {
        fprintf(stderr, "fantail sub: %s\n", problem.text);
        return FT_EXIT_USAGE;
    }
    if (wishes.is_help) {
        print_help(flags, n);
        return FT_EXIT_OK;
    }
    const char *wrong = check(&wishes, argc);
    if (wrong) {
        fprintf(stderr, "fantail sub: %s\n", wrong);
        return FT_EXIT_USAGE;
    }
    sub.form = wishes.is_verbose ? FT_PRINT_VERBOSE
               : wishes.is_json  ? FT_PRINT_JSON
               : wishes.is_raw   ? FT_PRINT_RAW
                                 : FT_PRINT_DATA;
    return open_and_subscribe(&sub, &wishes, argc, argv);
}
