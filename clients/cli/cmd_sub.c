/*
 * `fantail sub`: subscribes and prints what arrives, for people and for pipes. The main thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "clients/cli/link.h"
#include "clients/cli/output.h"
#include "clients/cli/print.h"

struct sub {
    struct ft_link link;
    struct ft_output output;
    enum ft_print_form form;
    uint64_t count; /* deliveries to end after; 0: no end */
    uint64_t seen;
    double wait_s; /* 0: as long as it takes */
    uint64_t until_ms;
};

struct wishes {
    struct ft_link_options link;
    bool is_verbose, is_json, is_raw, is_help;
};

static bool is_over(const struct sub *sub)
{
    return sub->link.exit_code != FT_EXIT_OK || sub->output.state != FT_OUTPUT_OPEN ||
           (sub->count > 0 && sub->seen >= sub->count) || ft_link_is_interrupted();
}

static void on_message(struct fantail *f, const struct fantail_message *message, void *user)
{
    (void)f;
    struct sub *sub = user;
    if (is_over(sub))
        return;
    ft_print_message(message, sub->form, &sub->output.bytes);
    ft_output_relieve(&sub->output);
    sub->seen++;
}

static void on_subscribed(struct fantail *f, const struct fantail_result *result, void *user)
{
    (void)f;
    struct sub *sub = user;
    if (result->code != 0)
        ft_link_fail(&sub->link, FT_EXIT_FAILED, "the broker refused the subscription (%d): %s",
                     result->code, result->message);
}

/* How often a silent feed looks whether anybody still reads it. */
enum { LOOK_MS = 1000 };

/* How long a turn may wait: -1 without a bound, 0 when the time is over. */
static int turn_ms(const struct sub *sub)
{
    if (sub->until_ms == 0)
        return sub->output.is_pipe ? LOOK_MS : -1;
    uint64_t now_ms = ft_clock_mono_ms();
    uint64_t left = now_ms < sub->until_ms ? sub->until_ms - now_ms : 0;
    return left > LOOK_MS ? LOOK_MS : (int)left;
}

static void run(struct sub *sub)
{
    while (!is_over(sub)) {
        int wait_ms = turn_ms(sub);
        if (wait_ms == 0) {
            if (sub->count > 0)
                sub->link.exit_code = FT_EXIT_TIMED_OUT;
            return;
        }
        bool goes_on = fantail_run(sub->link.client, wait_ms);
        ft_output_flush(&sub->output);
        ft_output_check(&sub->output);
        if (!goes_on)
            return;
    }
}

static int subscribe(struct sub *sub, const struct ft_link_options *options, int n, char **filters)
{
    if (!ft_link_open(&sub->link, options, sub))
        return sub->link.exit_code;
    struct fantail_subscription *subscription;
    struct fantail_subscribe_options how = {.on_result = on_subscribed};
    int code = fantail_subscribe(sub->link.client, (const char *const *)filters, (size_t)n, &how,
                                 on_message, sub, &subscription);
    if (code != 0)
        ft_link_fail(&sub->link, FT_EXIT_USAGE, "%s", fantail_error_text(sub->link.client));
    if (sub->wait_s > 0)
        sub->until_ms = ft_clock_mono_ms() + (uint64_t)(sub->wait_s * 1000) + 1;
    run(sub);
    ft_link_close(&sub->link);
    ft_output_flush(&sub->output);
    if (sub->output.state == FT_OUTPUT_FAILED && sub->link.exit_code == FT_EXIT_OK)
        return FT_EXIT_FAILED;
    return sub->link.exit_code;
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts("usage: fantail sub FILTER… [OPTION]…\n\n"
         "Prints the data of each publication on a line of its own: strings as they are, other\n"
         "values as JSON, bytes as base64. A string that holds control characters is printed as\n"
         "JSON. In a filter a level may be + (any one level) and the last one # (all below).\n");
    ft_flags_print(flags, n, stdout);
    puts("\nexit codes: 0 done or interrupted, 1 refused or failed, 2 wrong command line,\n"
         "3 no connection, 4 -W ended before -C was reached");
}

int ft_cmd_sub(int argc, char **argv)
{
    struct sub sub = {0};
    struct wishes wishes = {0};
    const struct ft_flag flags[] = {
        {'C', "count", "N", FT_FLAG_COUNT, &sub.count, "end after N publications"},
        {'W', "wait", "SECONDS", FT_FLAG_NUMBER, &sub.wait_s, "end after so long"},
        {'v', "verbose", NULL, FT_FLAG_SWITCH, &wishes.is_verbose,
         "print the topic and a space before the data"},
        {'\0', "json", NULL, FT_FLAG_SWITCH, &wishes.is_json,
         "print each delivery whole, as one line of JSON"},
        {'\0', "raw", NULL, FT_FLAG_SWITCH, &wishes.is_raw,
         "write the bytes of strings and bytes, without newlines"},
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
    if (wishes.is_verbose + wishes.is_json + wishes.is_raw > 1) {
        fputs("fantail sub: only one of -v, --json and --raw makes sense\n", stderr);
        return FT_EXIT_USAGE;
    }
    if (argc < 2) {
        fputs("fantail sub: which filter? For example: fantail sub 'demo/#'\n", stderr);
        return FT_EXIT_USAGE;
    }
    sub.form = wishes.is_verbose ? FT_PRINT_VERBOSE
               : wishes.is_json  ? FT_PRINT_JSON
               : wishes.is_raw   ? FT_PRINT_RAW
                                 : FT_PRINT_DATA;
    ft_output_init(&sub.output);
    int code = subscribe(&sub, &wishes.link, argc - 1, argv + 1);
    ft_output_fini(&sub.output);
    return code;
}
