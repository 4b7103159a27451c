/*
 * `fantail nodes`: asks one node for the list of all of them, and prints it. The main thread.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "clients/c/servers.h"
#include "clients/cli/http_get.h"
#include "clients/cli/link.h"
#include "clients/cli/output.h"
#include "clients/cli/table.h"
#include "protocol/quote.h"

struct wishes {
    struct ft_link_options link;
    bool is_json, is_help;
};

static uint64_t as_count(const json_t *value)
{
    json_int_t number = json_integer_value(value);
    return number > 0 ? (uint64_t)number : 0;
}

static void add_count(struct ft_table *table, uint64_t count)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, count);
    ft_table_add(table, text);
}

static void add_text(struct ft_table *table, const json_t *value)
{
    ft_table_add(table, json_is_string(value) ? json_string_value(value) : "?");
}

static void add_duration(struct ft_table *table, uint64_t s)
{
    char text[64];
    if (s < 60)
        snprintf(text, sizeof(text), "%" PRIu64 "s", s);
    else if (s < 3600)
        snprintf(text, sizeof(text), "%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(text, sizeof(text), "%" PRIu64 "h%" PRIu64 "m", s / 3600, s % 3600 / 60);
    else
        snprintf(text, sizeof(text), "%" PRIu64 "d%" PRIu64 "h", s / 86400, s % 86400 / 3600);
    ft_table_add(table, text);
}

/* How many publications a node is behind in all its partitions; "?" where one of them is not known. */
static void add_lag(struct ft_table *table, const json_t *partitions)
{
    uint64_t lag = 0;
    for (size_t i = 0; i < json_array_size(partitions); i++) {
        const json_t *its = json_object_get(json_array_get(partitions, i), "lag");
        if (!json_is_integer(its)) {
            ft_table_add(table, "?");
            return;
        }
        lag += as_count(its);
    }
    add_count(table, lag);
}

static void print_table(const json_t *nodes, struct ft_buffer *out)
{
    static const char *const titles[] = {"NAME",       "VERSION", "UPTIME", "CONNECTIONS",
                                         "PARTITIONS", "LAG",     "SEEN",   "INSTANCE"};
    struct ft_table table;
    ft_table_init(&table, sizeof(titles) / sizeof(titles[0]));
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
        ft_table_add(&table, titles[i]);
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        const json_t *partitions = json_object_get(node, "partitions");
        char seen[32];
        snprintf(seen, sizeof(seen), "%.1fs",
                 (double)as_count(json_object_get(node, "seen_ms")) / 1000);
        add_text(&table, json_object_get(node, "name"));
        add_text(&table, json_object_get(node, "version"));
        add_duration(&table, as_count(json_object_get(node, "uptime_s")));
        add_count(&table, as_count(json_object_get(node, "connections")));
        add_count(&table, json_array_size(partitions));
        add_lag(&table, partitions);
        ft_table_add(&table, seen);
        add_text(&table, json_object_get(node, "instance"));
    }
    ft_table_print(&table, out);
    ft_table_fini(&table);
}

static int complain(const char *url, const char *what, enum ft_exit code)
{
    fprintf(stderr, "fantail: %s: %s\n", url, what);
    return (int)code;
}

/* Says why the broker refused: its own words, where it had any. */
static int refuse(const char *url, const struct ft_http_answer *answer, const json_t *top)
{
    const char *message =
        json_string_value(json_object_get(json_object_get(top, "error"), "message"));
    char quoted[FT_QUOTE_MAX], text[FT_QUOTE_MAX + 64];
    snprintf(text, sizeof(text), "the broker refused the list of nodes (%d)%s%s", answer->status,
             message ? ": " : "", message ? ft_quote(ft_slice_str(message), quoted) : "");
    return complain(url, text, FT_EXIT_FAILED);
}

static int print_answer(const char *url, const struct ft_http_answer *answer, bool is_json)
{
    struct ft_slice body = ft_buffer_slice(&answer->body);
    json_t *top = json_loadb(body.ptr ? (const char *)body.ptr : "", body.len, 0, NULL);
    const json_t *nodes = json_object_get(top, "nodes");
    int code = FT_EXIT_OK;
    if (answer->status != 200) {
        code = refuse(url, answer, top);
    } else if (!json_is_array(nodes)) {
        code = complain(url, "that is no list of nodes: is it a broker?", FT_EXIT_FAILED);
    } else {
        struct ft_output output;
        ft_output_init(&output);
        if (is_json)
            ft_buffer_add(&output.bytes, body.ptr, body.len);
        else
            print_table(nodes, &output.bytes);
        if (is_json && body.ptr[body.len - 1] != '\n')
            ft_buffer_add_byte(&output.bytes, '\n');
        ft_output_flush(&output);
        code = output.state == FT_OUTPUT_FAILED ? FT_EXIT_FAILED : FT_EXIT_OK;
        ft_output_fini(&output);
    }
    json_decref(top);
    return code;
}

/* Asks one node. False: it could not be reached, and that was said. */
static bool ask_one(const struct ft_server *server, const struct wishes *wishes, const char *token,
                    int *code)
{
    struct ft_http_get get = {
        .url = &server->url,
        .path = "/v1/nodes",
        .token = token,
        .ca_file = wishes->link.ca_file,
        .is_insecure = wishes->link.insecure,
    };
    struct ft_http_answer answer;
    ft_http_get(&get, &answer);
    bool is_there = answer.status != 0;
    *code = is_there ? print_answer(server->text, &answer, wishes->is_json)
                     : complain(server->text, answer.reason, FT_EXIT_NO_BROKER);
    ft_buffer_fini(&answer.body);
    return is_there;
}

/* Asks those that were named in turn, until one is there. */
static int ask(const struct wishes *wishes)
{
    static char file_token[FT_LINK_TOKEN_MAX + 2];
    struct ft_link_urls urls;
    struct ft_servers servers;
    struct ft_problem problem;
    const char *token = wishes->link.token ? wishes->link.token : getenv("FANTAIL_TOKEN");
    if (wishes->link.token_file)
        token = ft_link_read_token(wishes->link.token_file, file_token);
    int code = FT_EXIT_USAGE;
    ft_link_urls_init(&urls, &wishes->link);
    if (ft_servers_init(&servers, urls.items, urls.count, &problem) != FT_OK) {
        fprintf(stderr, "fantail: %s\n", problem.text);
    } else {
        size_t left = servers.count;
        while (left-- > 0 && !ask_one(ft_servers_now(&servers), wishes, token, &code))
            ft_servers_failed(&servers, 0);
    }
    ft_servers_fini(&servers);
    ft_link_urls_fini(&urls);
    return code;
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts(
        "usage: fantail nodes [OPTION]…\n\n"
        "Prints the nodes of the cluster that the broker belongs to, whichever of them is asked: what\n"
        "runs there and for how long, its connections, the partitions that it takes part in, how many\n"
        "publications it is behind in them (? where nobody can say), and how old all this is. It asks\n"
        "over HTTP, at /v1/nodes where the URL has /ws. A broker with tokens answers admins only. It asks\n"
        "each -s once, until one is there: --retry and --msgpack change nothing.\n");
    ft_flags_print(flags, n, stdout);
    puts("\nexit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 no connection");
}

int ft_cmd_nodes(int argc, char **argv)
{
    struct wishes wishes = {0};
    const struct ft_flag flags[] = {
        {'\0', "json", NULL, FT_FLAG_SWITCH, &wishes.is_json,
         "print the broker's answer, one line"},
        FT_LINK_FLAGS(&wishes.link),
        {'h', "help", NULL, FT_FLAG_SWITCH, &wishes.is_help, "print this"},
    };
    const size_t n = sizeof(flags) / sizeof(flags[0]);
    struct ft_problem problem;
    if (ft_flags_parse(flags, n, &argc, argv, &problem) != FT_OK) {
        fprintf(stderr, "fantail nodes: %s\n", problem.text);
        return FT_EXIT_USAGE;
    }
    if (wishes.is_help) {
        print_help(flags, n);
        return FT_EXIT_OK;
    }
    if (argc > 1) {
        fprintf(stderr, "fantail nodes: it takes no argument: %s\n", argv[1]);
        return FT_EXIT_USAGE;
    }
    return ask(&wishes);
}
