/*
 * `fantail sessions`: asks one node who is connected to all of them, and prints it. The main thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clients/cli/ask.h"
#include "clients/cli/http_get.h"
#include "protocol/quote.h"

struct wishes {
    struct ft_link_options link;
    const char *user, *session, *node;
    uint64_t limit;
    bool is_json, is_help;
};

/* ---- the table ---- */

static void add_since(struct ft_table *table, uint64_t ms)
{
    char text[40] = "?";
    struct tm parts;
    time_t seconds = (time_t)(ms / 1000);
    if (gmtime_r(&seconds, &parts))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    ft_table_add(table, text);
}

static void add_or_dash(struct ft_table *table, const json_t *value)
{
    ft_table_add(table, json_is_string(value) ? json_string_value(value) : "-");
}

static const char *state_of(const json_t *session)
{
    if (json_is_true(json_object_get(session, "parked")))
        return "parked";
    return json_is_true(json_object_get(session, "stalled")) ? "stalled" : "-";
}

static void add_row(struct ft_table *table, const json_t *session)
{
    ft_ask_add_text(table, json_object_get(session, "session"));
    add_or_dash(table, json_object_get(session, "user"));
    ft_ask_add_text(table, json_object_get(session, "node"));
    add_or_dash(table, json_object_get(session, "address"));
    ft_ask_add_text(table, json_object_get(session, "encoding"));
    add_since(table, ft_ask_count(json_object_get(session, "since")));
    ft_ask_add_count(table, ft_ask_count(json_object_get(session, "subscriptions")));
    ft_ask_add_count(table, ft_ask_count(json_object_get(session, "outbox_bytes")));
    ft_table_add(table, state_of(session));
}

/* Says what the table does not show. A list that is not from all nodes is not what was asked for. */
static enum ft_exit say_rest(const json_t *top)
{
    size_t shown = json_array_size(json_object_get(top, "sessions"));
    const char *problem = json_string_value(json_object_get(top, "problem"));
    if (json_is_true(json_object_get(top, "more")))
        fprintf(stderr, "fantail: %zu of %" PRIu64 " sessions are shown, the latest (--limit)\n",
                shown, ft_ask_count(json_object_get(top, "total")));
    if (!problem)
        return FT_EXIT_OK;
    char quoted[FT_QUOTE_MAX];
    fprintf(stderr, "fantail: not all nodes are in the list: %s\n",
            ft_quote(ft_slice_str(problem), quoted));
    return FT_EXIT_FAILED;
}

static enum ft_exit print_table(const json_t *top, struct ft_buffer *out)
{
    static const char *const titles[] = {"SESSION", "USER",   "NODE",    "ADDRESS", "ENCODING",
                                         "SINCE",   "TOPICS", "WAITING", "STATE"};
    const json_t *sessions = json_object_get(top, "sessions");
    struct ft_table table;
    ft_table_init(&table, sizeof(titles) / sizeof(titles[0]));
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
        ft_table_add(&table, titles[i]);
    for (size_t i = 0; i < json_array_size(sessions); i++)
        add_row(&table, json_array_get(sessions, i));
    ft_table_print(&table, out);
    ft_table_fini(&table);
    return say_rest(top);
}

/* ---- the question ---- */

/* Adds "&name=value"; whatever is not plain goes as %XX. */
static void add_parameter(struct ft_buffer *path, const char *name, const char *value)
{
    static const char digits[] = "0123456789ABCDEF";
    if (!value)
        return;
    ft_buffer_add_byte(path, '&');
    ft_buffer_add_str(path, name);
    ft_buffer_add_byte(path, '=');
    for (const uint8_t *c = (const uint8_t *)value; *c; c++) {
        if ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z')
            ft_buffer_add_byte(path, *c);
        else if (strchr("0123456789-_.", *c))
            ft_buffer_add_byte(path, *c);
        else
            ft_buffer_add(path, (char[]){'%', digits[*c >> 4], digits[*c & 15]}, 3);
    }
}

static int ask(const struct wishes *wishes)
{
    struct ft_buffer path;
    char limit[24];
    snprintf(limit, sizeof(limit), "%" PRIu64, wishes->limit);
    ft_buffer_init(&path, FT_HTTP_GET_PATH_MAX);
    ft_buffer_add_str(&path, "/v1/sessions?limit=");
    ft_buffer_add_str(&path, limit);
    add_parameter(&path, "user", wishes->user);
    add_parameter(&path, "session", wishes->session);
    add_parameter(&path, "node", wishes->node);
    ft_buffer_add_byte(&path, '\0');
    struct ft_ask ask = {
        .link = &wishes->link,
        .path = (const char *)path.ptr,
        .what = "list of sessions",
        .key = "sessions",
        .is_json = wishes->is_json,
        .print = print_table,
    };
    int code = FT_EXIT_USAGE;
    if (path.failed)
        fputs("fantail sessions: no name is as long as that\n", stderr);
    else
        code = ft_ask(&ask);
    ft_buffer_fini(&path);
    return code;
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts(
        "usage: fantail sessions [OPTION]…\n\n"
        "Prints who is connected to the cluster that the broker belongs to, whichever node is asked, those\n"
        "that came last first: session, user (- where it is nobody in particular), node, address, encoding,\n"
        "since when, how many filters it is subscribed to, bytes that wait for it, and whether it is parked\n"
        "(it reads too slowly) or stalled (a request of it waits for other nodes). It asks over HTTP, at\n"
        "/v1/sessions where the URL has /ws. A broker with tokens answers admins only. It asks each -s once,\n"
        "until one is there: --retry and --msgpack change nothing. Where a node has not answered the others\n"
        "are listed, and the exit code is 1.\n");
    ft_flags_print(flags, n, stdout);
    puts("\nexit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 no connection");
}

int ft_cmd_sessions(int argc, char **argv)
{
    struct wishes wishes = {.limit = 100};
    const struct ft_flag flags[] = {
        {'u', "user", "USER", FT_FLAG_TEXT, &wishes.user, "those of this user alone"},
        {'\0', "session", "ID", FT_FLAG_TEXT, &wishes.session, "the one with this id"},
        {'\0', "node", "NAME", FT_FLAG_TEXT, &wishes.node, "those of this node alone"},
        {'n', "limit", "N", FT_FLAG_COUNT, &wishes.limit,
         "so many at most, up to 1000; default 100"},
        {'\0', "json", NULL, FT_FLAG_SWITCH, &wishes.is_json,
         "print the broker's answer, one line"},
        FT_LINK_FLAGS(&wishes.link),
        {'h', "help", NULL, FT_FLAG_SWITCH, &wishes.is_help, "print this"},
    };
    const size_t n = sizeof(flags) / sizeof(flags[0]);
    struct ft_problem problem;
    if (ft_flags_parse(flags, n, &argc, argv, &problem) != FT_OK) {
        fprintf(stderr, "fantail sessions: %s\n", problem.text);
        return FT_EXIT_USAGE;
    }
    if (wishes.is_help) {
        print_help(flags, n);
        return FT_EXIT_OK;
    }
    if (argc > 1) {
        fprintf(stderr, "fantail sessions: it takes no argument: %s\n", argv[1]);
        return FT_EXIT_USAGE;
    }
    return ask(&wishes);
}
