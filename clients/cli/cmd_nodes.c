/*
 * `fantail nodes`: asks one node for the list of all of them, and prints it. The main thread.
 */
#include <inttypes.h>
#include <stdio.h>

#include "clients/cli/ask.h"

struct wishes {
    struct ft_link_options link;
    bool is_json, is_help;
};

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
        lag += ft_ask_count(its);
    }
    ft_ask_add_count(table, lag);
}

static enum ft_exit print_table(const json_t *top, struct ft_buffer *out)
{
    const json_t *nodes = json_object_get(top, "nodes");
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
                 (double)ft_ask_count(json_object_get(node, "seen_ms")) / 1000);
        ft_ask_add_text(&table, json_object_get(node, "name"));
        ft_ask_add_text(&table, json_object_get(node, "version"));
        add_duration(&table, ft_ask_count(json_object_get(node, "uptime_s")));
        ft_ask_add_count(&table, ft_ask_count(json_object_get(node, "connections")));
        ft_ask_add_count(&table, json_array_size(partitions));
        add_lag(&table, partitions);
        ft_table_add(&table, seen);
        ft_ask_add_text(&table, json_object_get(node, "instance"));
    }
    ft_table_print(&table, out);
    ft_table_fini(&table);
    return FT_EXIT_OK;
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
    struct ft_ask ask = {
        .link = &wishes.link,
        .path = "/v1/nodes",
        .what = "list of nodes",
        .key = "nodes",
        .is_json = wishes.is_json,
        .print = print_table,
    };
    return ft_ask(&ask);
}
