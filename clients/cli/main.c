/*
 * The command `fantail`: finds the subcommand and hands over. Does not parse what is a subcommand's
 * own. The main thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/alloc.h"
#include "clients/cli/link.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"sub", ft_cmd_sub, "subscribe to filters and print what arrives"},
    {"pub", ft_cmd_pub, "publish data, a file, or every line of standard input"},
    {"history", ft_cmd_history, "print what the broker still has of a topic"},
    {"presence", ft_cmd_presence, "print who is present on a topic"},
    {"nodes", ft_cmd_nodes, "print the nodes of a cluster and how they are"},
    {"sessions", ft_cmd_sessions, "print who is connected to a cluster"},
    {"token", ft_cmd_token, "make a token, for development"},
    {"apikey", ft_cmd_apikey, "make an API key for a backend"},
    {"demo", ft_cmd_demo, "publish this machine's own live figures"},
    {"bench", ft_cmd_bench, "measure a broker under load, beside a floor"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_help(FILE *out)
{
    struct ft_link_options options = {0};
    const struct ft_flag flags[] = {FT_LINK_FLAGS(&options)};
    fputs("usage: fantail [OPTION]… COMMAND [ARGUMENT]…\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-24s %s\n", commands[i].name, commands[i].help);
    fputs("\n`fantail COMMAND --help` tells more. Options of the connection:\n\n", out);
    ft_flags_print(flags, sizeof(flags) / sizeof(flags[0]), out);
    fputs("\nexit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 no connection, "
          "4 time ran out\n",
          out);
}

/* Says whether an argument is an option of the connection that takes the next argument as value. */
static bool takes_next(const struct ft_flag *flags, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        if (flags[i].type == FT_FLAG_SWITCH)
            continue;
        if (text[1] == '-' ? strcmp(text + 2, flags[i].name) == 0
                           : text[1] == flags[i].letter && text[2] == '\0')
            return true;
    }
    return false;
}

/* Returns where the subcommand's name stands: behind the options of the connection. */
static int find_command(int argc, char **argv)
{
    struct ft_link_options options = {0};
    const struct ft_flag flags[] = {FT_LINK_FLAGS(&options)};
    int at = 1;
    while (at < argc && argv[at][0] == '-')
        at += takes_next(flags, sizeof(flags) / sizeof(flags[0]), argv[at]) ? 2 : 1;
    return at;
}

/* Runs a command with its name first and the options that stood before it behind. */
static int run_command(int (*run)(int argc, char **argv), int argc, char **argv, int at)
{
    char **moved = ft_alloc((size_t)(argc + 1) * sizeof(*moved));
    moved[0] = argv[at];
    memcpy(moved + 1, argv + 1, (size_t)(at - 1) * sizeof(*moved));
    memcpy(moved + at, argv + at + 1, (size_t)(argc - at) * sizeof(*moved));
    int code = run(argc - 1, moved);
    free(moved);
    return code;
}

static bool is_word(const char *text, const char *name)
{
    return strcmp(text, name) == 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && (is_word(argv[1], "--help") || is_word(argv[1], "-h"))) {
        print_help(stdout);
        return FT_EXIT_OK;
    }
    if (argc > 1 && is_word(argv[1], "--version")) {
        puts("fantail " FT_VERSION);
        return FT_EXIT_OK;
    }
    int at = find_command(argc, argv);
    for (size_t i = 0; at < argc && i < COMMANDS; i++)
        if (is_word(argv[at], commands[i].name))
            return run_command(commands[i].run, argc, argv, at);
    if (at < argc)
        fprintf(stderr,
                "fantail: there is no command %s; it is one of sub, pub, history, "
                "presence, nodes, sessions, token, apikey, demo, bench\n",
                argv[at]);
    else
        print_help(stderr);
    return FT_EXIT_USAGE;
}
