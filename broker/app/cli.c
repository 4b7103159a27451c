/*
 * Reads the command line. It starts nothing and opens no socket, so that --check-config is safe
 * beside a running broker. Runs at start and at a reload, on the main thread.
 */
#include "broker/app/cli.h"

#include "broker/app/access.h"
#include "broker/base/alloc.h"
#include "protocol/quote.h"
#include "protocol/topic.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* Long options without a letter. */
enum {
    OPT_LISTEN = 256,
    OPT_WORKERS,
    OPT_NODE,
    OPT_REDIS,
    OPT_SET,
    OPT_CHECK,
    OPT_TOPIC,
    OPT_SAMPLE
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"node", required_argument, NULL, OPT_NODE},
    {"redis", required_argument, NULL, OPT_REDIS},
    {"set", required_argument, NULL, OPT_SET},
    {"check-config", no_argument, NULL, OPT_CHECK},
    {"topic", required_argument, NULL, OPT_TOPIC},
    {"print-config-sample", no_argument, NULL, OPT_SAMPLE},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "Usage: fantaild [-c FILE] [--listen ADDR:PORT]... [--workers N] [--node NAME]\n"
    "                [--redis URL]... [--set NAME=VALUE]... [--check-config [--topic TOPIC]]\n"
    "\n"
    "The Fantail message broker: serves publish and subscribe over WebSocket until SIGTERM.\n"
    "\n"
    "  -c, --config FILE         read settings from an INI file\n"
    "      --listen ADDR:PORT    the setting listen; may be repeated\n"
    "      --workers N           the setting workers\n"
    "      --node NAME           the setting node\n"
    "      --redis URL           the setting redis.url; may be repeated\n"
    "      --set NAME=VALUE      any setting, such as --set limits.message=256k; may be repeated\n"
    "      --check-config        print the settings in effect, or what is wrong, and exit\n"
    "      --topic TOPIC         with --check-config: print the policy of this topic instead\n"
    "      --print-config-sample print a commented file with every setting, and exit\n"
    "  -V, --version             print the version, and exit\n"
    "  -h, --help                print this, and exit\n"
    "\n";

/* A setting that the command line gave, kept until the file and the environment were read. */
struct given {
    const char *where; /* the option; NULL: --set, and `value` is NAME=VALUE */
    const char *name;
    const char *value;
};

struct reading {
    const struct ft_cli *cli;
    const char *file;
    const char *topic; /* NULL: --check-config is about the settings */
    struct given *given;
    size_t given_count;
    int question; /* the option that only asks: 'h', 'V', OPT_CHECK, OPT_SAMPLE; 0: serve */
};

static int fail_usage(const struct reading *reading, const char *what, const char *offender)
{
    char quoted[FT_QUOTE_MAX];

    fprintf(reading->cli->err, "fantaild: %s %s; fantaild --help lists the options\n", what,
            ft_quote(ft_slice_str(offender), quoted));
    return FT_CLI_BAD_USAGE;
}

static void give(struct reading *reading, const char *where, const char *name)
{
    reading->given[reading->given_count++] = (struct given){where, name, optarg};
}

/* Takes one option. Returns 0, or the exit status. */
static int take_option(struct reading *reading, int letter)
{
    /* getopt has stepped past the argument that it could not read. */
    const char *last = reading->cli->argv[optind > 1 ? optind - 1 : 0];

    switch (letter) {
    case 'c':
        if (reading->file)
            return fail_usage(reading, "there can be one -c only, not also", optarg);
        reading->file = optarg;
        return 0;
    case OPT_TOPIC:
        if (reading->topic)
            return fail_usage(reading, "there can be one --topic only, not also", optarg);
        reading->topic = optarg;
        return 0;
    case OPT_LISTEN:
        give(reading, "--listen", "listen");
        return 0;
    case OPT_WORKERS:
        give(reading, "--workers", "workers");
        return 0;
    case OPT_NODE:
        give(reading, "--node", "node");
        return 0;
    case OPT_REDIS:
        give(reading, "--redis", "redis.url");
        return 0;
    case OPT_SET:
        give(reading, NULL, NULL);
        return 0;
    case ':':
        return fail_usage(reading, "a value is missing after", last);
    case '?':
        return fail_usage(reading, "unknown option", last);
    default:
        if (reading->question == 0)
            reading->question = letter;
        return 0;
    }
}

/* Checks that --topic has a topic and belongs there. Returns 0, or the exit status. */
static int check_topic(const struct reading *reading)
{
    struct ft_problem problem;

    if (reading->question != OPT_CHECK)
        return fail_usage(reading, "only --check-config takes a --topic, such as", reading->topic);
    if (ft_topic_check(ft_slice_str(reading->topic), &problem) == FT_OK)
        return 0;
    fprintf(reading->cli->err, "fantaild: --topic: %s\n", problem.text);
    return FT_CLI_BAD_USAGE;
}

/* Takes the whole command line apart. Returns 0, or the exit status. */
static int take_arguments(struct reading *reading)
{
    const struct ft_cli *cli = reading->cli;
    int letter;

    optind = 0; /* glibc: begin anew, with permutation */
    opterr = 0;
    while ((letter = getopt_long(cli->argc, cli->argv, ":c:Vh", long_options, NULL)) != -1) {
        int status = take_option(reading, letter);
        if (status != 0)
            return status;
    }
    if (optind < cli->argc)
        return fail_usage(reading, "unexpected argument", cli->argv[optind]);
    return reading->topic ? check_topic(reading) : 0;
}

/* Applies the file, the environment and what the command line gave, in this order. */
static int apply_all(const struct reading *reading, struct ft_config *config,
                     struct ft_config_error *error)
{
    if (reading->file && ft_config_load_file(config, reading->file, error) != 0)
        return -1;
    if (ft_config_load_env(config, reading->cli->environment, error) != 0)
        return -1;
    for (size_t i = 0; i < reading->given_count; i++) {
        const struct given *given = &reading->given[i];
        struct ft_setting setting = {.source = FT_SOURCE_COMMAND,
                                     .where = given->where,
                                     .name = given->name,
                                     .value = given->value};
        if ((given->where ? ft_config_apply(config, &setting, error)
                          : ft_config_set(config, given->value, error)) != 0)
            return -1;
    }
    return ft_config_finish(config, error);
}

/* Makes a config of all sources. Returns 0; or -1 and `error`, with nothing in `config` to free. */
static int load(const struct reading *reading, struct ft_config *config,
                struct ft_config_error *error)
{
    ft_config_init(config);
    if (apply_all(reading, config, error) == 0)
        return 0;
    ft_config_fini(config);
    return -1;
}

/* Says whether the answer reached its reader: a full disk must not look like success. */
static int finish_answer(const struct ft_cli *cli)
{
    if (fflush(cli->out) == 0 && !ferror(cli->out))
        return 0;
    fprintf(cli->err, "fantaild: cannot write the answer: %s\n", strerror(errno));
    return FT_CLI_BAD_CONFIG;
}

static int answer(const struct reading *reading)
{
    FILE *out = reading->cli->out;

    if (reading->question == 'h') {
        fputs(usage, out);
        ft_config_print_help(out);
    } else if (reading->question == 'V') {
        fputs("fantaild " FT_VERSION "\n", out);
    } else {
        ft_config_print_sample(out);
    }
    return finish_answer(reading->cli);
}

/* Says of a finished config whether the broker could start with the files that it names, too. */
static int check_files(const struct ft_config *config, struct ft_config_error *error)
{
    struct ft_access access;

    if (ft_access_open(&access, config, error) != 0)
        return -1;
    ft_access_close(&access);
    return 0;
}

static int fail_settings(const struct reading *reading, const struct ft_config_error *error)
{
    fprintf(reading->cli->err, "fantaild: %s\n", error->text);
    return FT_CLI_BAD_CONFIG;
}

static int read_settings(const struct reading *reading, struct ft_config *config)
{
    struct ft_config_error error;

    if (load(reading, config, &error) != 0)
        return fail_settings(reading, &error);
    if (reading->question == 0)
        return FT_CLI_SERVE;
    if (check_files(config, &error) != 0) {
        ft_config_fini(config);
        return fail_settings(reading, &error);
    }
    if (reading->topic)
        ft_config_print_topic(config, ft_slice_str(reading->topic), reading->cli->out);
    else
        ft_config_print(config, reading->cli->out);
    ft_config_fini(config);
    return finish_answer(reading->cli);
}

static void begin(struct reading *reading, const struct ft_cli *cli)
{
    *reading = (struct reading){.cli = cli};
    /* No more settings than arguments. */
    reading->given = ft_alloc_zero((size_t)(cli->argc + 1) * sizeof(*reading->given));
}

int ft_cli_read(const struct ft_cli *cli, struct ft_config *config)
{
    struct reading reading;

    begin(&reading, cli);
    int status = take_arguments(&reading);
    if (status == 0) {
        bool asks_only = reading.question != 0 && reading.question != OPT_CHECK;
        status = asks_only ? answer(&reading) : read_settings(&reading, config);
    }
    free(reading.given);
    return status;
}

int ft_cli_read_again(const struct ft_cli *cli, struct ft_config *config,
                      struct ft_config_error *error)
{
    struct reading reading;

    begin(&reading, cli);
    FT_ASSERT(take_arguments(&reading) == 0 && reading.question == 0);
    int status = load(&reading, config, error);
    free(reading.given);
    return status;
}
