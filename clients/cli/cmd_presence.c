/*
 * `fantail presence`: prints who is present on a topic, and ends. The main thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "clients/cli/link.h"
#include "clients/cli/output.h"
#include "clients/cli/table.h"
#include "protocol/writer.h"

struct ask {
    struct ft_link link;
    struct ft_output output;
    bool is_json, is_done;
};

static void print_json(const struct fantail_presence *presence, struct ft_buffer *out)
{
    struct ft_writer w;
    ft_writer_init(&w, FT_JSON, out);
    ft_write_map(&w, 2);
    ft_write_key(&w, "count");
    ft_write_uint(&w, presence->count);
    ft_write_key(&w, "clients");
    ft_write_array(&w, (uint32_t)presence->client_count);
    for (size_t i = 0; i < presence->client_count; i++) {
        const struct fantail_present *client = &presence->clients[i];
        ft_write_map(&w, 3);
        ft_write_key(&w, "session");
        ft_write_str(&w, ft_slice_str(client->session));
        ft_write_key(&w, "user");
        if (client->user)
            ft_write_str(&w, ft_slice_str(client->user));
        else
            ft_write_null(&w);
        ft_write_key(&w, "since");
        ft_write_uint(&w, client->since_ms);
    }
    ft_buffer_add_byte(out, '\n');
}

static void print_table(const struct fantail_presence *presence, struct ft_buffer *out)
{
    struct ft_table table;
    ft_table_init(&table, 3);
    ft_table_add(&table, "SESSION");
    ft_table_add(&table, "USER");
    ft_table_add(&table, "SINCE");
    for (size_t i = 0; i < presence->client_count; i++) {
        const struct fantail_present *client = &presence->clients[i];
        char since[40] = "?";
        struct tm parts;
        time_t seconds = (time_t)(client->since_ms / 1000);
        if (gmtime_r(&seconds, &parts))
            strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &parts);
        ft_table_add(&table, client->session);
        ft_table_add(&table, client->user ? client->user : "-");
        ft_table_add(&table, since);
    }
    ft_table_print(&table, out);
    ft_table_fini(&table);
}

static void on_presence(struct fantail *f, const struct fantail_presence *presence, void *user)
{
    (void)f;
    struct ask *ask = user;
    ask->is_done = true;
    if (presence->code == FANTAIL_UNAVAILABLE && ask->link.exit_code != FT_EXIT_OK)
        return; /* there was no connection, and that was said */
    if (presence->code != 0) {
        ft_link_fail(&ask->link, FT_EXIT_FAILED, "the broker refused the presence (%d): %s",
                     presence->code, presence->message);
        return;
    }
    if (ask->is_json)
        print_json(presence, &ask->output.bytes);
    else
        print_table(presence, &ask->output.bytes);
    if (!ask->is_json && presence->count > presence->client_count)
        fprintf(stderr, "fantail: %" PRIu64 " are there; the broker lists the first %zu\n",
                presence->count, presence->client_count);
}

static int print_presence(struct ask *ask, const struct ft_link_options *options, const char *topic)
{
    if (!ft_link_open(&ask->link, options, ask))
        return ask->link.exit_code;
    if (fantail_presence(ask->link.client, topic, on_presence, ask) != 0)
        ft_link_fail(&ask->link, FT_EXIT_USAGE, "%s", fantail_error_text(ask->link.client));
    while (!ask->is_done && ask->link.exit_code == FT_EXIT_OK && !ft_link_is_interrupted() &&
           fantail_run(ask->link.client, -1))
        ;
    if (!ask->is_done && ask->link.exit_code == FT_EXIT_OK)
        ft_link_fail(&ask->link, FT_EXIT_FAILED, "interrupted before the answer came");
    ft_output_flush(&ask->output);
    ft_link_close(&ask->link);
    if (ask->output.state == FT_OUTPUT_FAILED && ask->link.exit_code == FT_EXIT_OK)
        return FT_EXIT_FAILED;
    return ask->link.exit_code;
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts(
        "usage: fantail presence TOPIC [OPTION]…\n\n"
        "Prints who is subscribed to exactly this topic, on any node, those who came first first:\n"
        "session, user (- where it is nobody in particular) and since when. The operator says which\n"
        "topics have presence. Who comes and goes: fantail sub '$presence/TOPIC'\n");
    ft_flags_print(flags, n, stdout);
    puts("\nexit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 no connection");
}

int ft_cmd_presence(int argc, char **argv)
{
    struct ask ask = {0};
    struct ft_link_options link = {0};
    bool is_help = false;
    const struct ft_flag flags[] = {
        {'\0', "json", NULL, FT_FLAG_SWITCH, &ask.is_json,
         "print it as one line of JSON: count and clients"},
        FT_LINK_FLAGS(&link),
        {'h', "help", NULL, FT_FLAG_SWITCH, &is_help, "print this"},
    };
    const size_t n = sizeof(flags) / sizeof(flags[0]);
    struct ft_problem problem;
    if (ft_flags_parse(flags, n, &argc, argv, &problem) != FT_OK) {
        fprintf(stderr, "fantail presence: %s\n", problem.text);
        return FT_EXIT_USAGE;
    }
    if (is_help) {
        print_help(flags, n);
        return FT_EXIT_OK;
    }
    if (argc != 2) {
        fputs("fantail presence: of which topic? One, without wildcards: fantail presence chat/1\n",
              stderr);
        return FT_EXIT_USAGE;
    }
    ft_output_init(&ask.output);
    int code = print_presence(&ask, &link, argv[1]);
    ft_output_fini(&ask.output);
    return code;
}
