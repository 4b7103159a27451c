/*
 * `fantail history`: prints what the broker still has of a topic, and ends. The main thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/link.h"
#include "clients/cli/output.h"
#include "clients/cli/print.h"

struct past {
    struct ft_link link;
    struct ft_output output;
    enum ft_print_form form;
    const char *since;
    bool is_done;
};

struct wishes {
    struct ft_link_options link;
    uint64_t last, limit;
    bool is_verbose, is_json, is_raw, is_help;
};

static void on_history(struct fantail *f, const struct fantail_history *history, void *user)
{
    (void)f;
    struct past *past = user;
    past->is_done = true;
    if (history->code == FANTAIL_UNAVAILABLE && past->link.exit_code != FT_EXIT_OK)
        return; /* there was no connection, and that was said */
    if (history->code != 0)
        ft_link_fail(&past->link, FT_EXIT_FAILED, "the broker refused the history (%d): %s",
                     history->code, history->message);
    else if (past->since && !history->recovered)
        fputs("fantail: not recovered: publications since this position may be missing\n", stderr);
    for (size_t i = 0; i < history->count; i++) {
        ft_print_message(&history->messages[i], past->form, &past->output.bytes);
        ft_output_relieve(&past->output);
    }
}

static int print_past(struct past *past, const struct wishes *wishes, const char *topic)
{
    if (!ft_link_open(&past->link, &wishes->link, past))
        return past->link.exit_code;
    struct fantail_history_options options = {
        .last = (uint32_t)wishes->last,
        .since = past->since,
        .limit = (uint32_t)wishes->limit,
        .user = past,
    };
    if (fantail_history(past->link.client, topic, &options, on_history) != 0)
        ft_link_fail(&past->link, FT_EXIT_USAGE, "%s", fantail_error_text(past->link.client));
    while (!past->is_done && past->link.exit_code == FT_EXIT_OK && !ft_link_is_interrupted() &&
           fantail_run(past->link.client, -1))
        ;
    if (!past->is_done && past->link.exit_code == FT_EXIT_OK)
        ft_link_fail(&past->link, FT_EXIT_FAILED, "interrupted before the answer came");
    ft_output_flush(&past->output);
    ft_link_close(&past->link);
    if (past->output.state == FT_OUTPUT_FAILED && past->link.exit_code == FT_EXIT_OK)
        return FT_EXIT_FAILED;
    return past->link.exit_code;
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts(
        "usage: fantail history TOPIC [--last N] [OPTION]…\n"
        "       fantail history TOPIC --since POS [--limit N] [OPTION]…\n\n"
        "Prints what the broker still has of a topic, oldest first, as `fantail sub` would have:\n"
        "the last 100 unless told otherwise. The broker gives at most 1,000, and no more than half\n"
        "of its limits.queue holds.\n");
    ft_flags_print(flags, n, stdout);
    puts("\nexit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 no connection");
}

/* Says what is wrong with the command line, or NULL. */
static const char *check(const struct wishes *wishes, int argc, const struct past *past)
{
    if (argc != 2)
        return "of which topic? One, without wildcards: fantail history demo/host/load";
    if (wishes->is_verbose + wishes->is_json + wishes->is_raw > 1)
        return "only one of -v, --json and --raw makes sense";
    if (past->since && wishes->last > 0)
        return "--last counts from the end, --since from a position: one of them";
    if (!past->since && wishes->limit > 0)
        return "--limit belongs to --since; --last N prints the last N";
    if (wishes->last > UINT32_MAX || wishes->limit > UINT32_MAX)
        return "--last and --limit are at most 4294967295";
    return NULL;
}

int ft_cmd_history(int argc, char **argv)
{
    struct past past = {0};
    struct wishes wishes = {0};
    const struct ft_flag flags[] = {
        {'\0', "last", "N", FT_FLAG_COUNT, &wishes.last, "up to N of the latest"},
        {'\0', "since", "POS", FT_FLAG_TEXT, &past.since, "those after this position instead"},
        {'\0', "limit", "N", FT_FLAG_COUNT, &wishes.limit, "with --since: up to N, the oldest"},
        {'v', "verbose", NULL, FT_FLAG_SWITCH, &wishes.is_verbose,
         "print the topic and a space before the data"},
        {'\0', "json", NULL, FT_FLAG_SWITCH, &wishes.is_json,
         "print each whole, as the line of JSON that `sub --json` prints"},
        {'\0', "raw", NULL, FT_FLAG_SWITCH, &wishes.is_raw,
         "write the bytes of strings and bytes, without newlines"},
        FT_LINK_FLAGS(&wishes.link),
        {'h', "help", NULL, FT_FLAG_SWITCH, &wishes.is_help, "print this"},
    };
    const size_t n = sizeof(flags) / sizeof(flags[0]);
    struct ft_problem problem;
    if (ft_flags_parse(flags, n, &argc, argv, &problem) != FT_OK) {
        fprintf(stderr, "fantail history: %s\n", problem.text);
        return FT_EXIT_USAGE;
    }
    if (wishes.is_help) {
        print_help(flags, n);
        return FT_EXIT_OK;
    }
    const char *wrong = check(&wishes, argc, &past);
    if (wrong) {
        fprintf(stderr, "fantail history: %s\n", wrong);
        return FT_EXIT_USAGE;
    }
    past.form = wishes.is_verbose ? FT_PRINT_VERBOSE
                : wishes.is_json  ? FT_PRINT_JSON
                : wishes.is_raw   ? FT_PRINT_RAW
                                  : FT_PRINT_DATA;
    ft_output_init(&past.output);
    int code = print_past(&past, &wishes, argv[1]);
    ft_output_fini(&past.output);
    return code;
}
