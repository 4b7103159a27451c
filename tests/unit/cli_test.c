/* The command line of fantaild: what it answers, what it refuses and with which status. */
#include "broker/app/cli.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX 16

static char *out_text, *err_text;
static struct ft_config config;

/* Reads a command line (words with single blanks) in an environment of one variable at most. */
static int run(const char *line, const char *variable)
{
    char copy[512], *argv[ARGS_MAX + 1] = {0}, *rest = NULL;
    const char *environment[] = {variable, NULL};
    size_t out_size, err_size;
    struct ft_cli cli = {.argv = argv, .environment = (char *const *)environment};

    snprintf(copy, sizeof(copy), "fantaild %s", line);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        cr_assert(cli.argc < ARGS_MAX);
        argv[cli.argc++] = word;
    }
    cli.out = open_memstream(&out_text, &out_size);
    cli.err = open_memstream(&err_text, &err_size);
    int status = ft_cli_read(&cli, &config);
    fclose(cli.out);
    fclose(cli.err);
    return status;
}

static void end(void)
{
    free(out_text);
    free(err_text);
}

TestSuite(cli, .fini = end);

/* A refusal: this status, one line on stderr that holds the fragment, nothing on stdout. */
static void assert_refused(const char *line, int status, const char *fragment)
{
    cr_assert_eq(run(line, NULL), status, "%s", line);
    cr_assert_str_empty(out_text);
    cr_assert(strstr(err_text, fragment), "\"%s\" is not in \"%s\"", fragment, err_text);
    cr_assert_eq(strncmp(err_text, "fantaild: ", 10), 0);
    cr_assert_eq(strchr(err_text, '\n'), err_text + strlen(err_text) - 1);
    end();
    out_text = err_text = NULL;
}

Test(cli, no_argument_serves_the_defaults)
{
    cr_assert_eq(run("", NULL), FT_CLI_SERVE, "%s", err_text);
    cr_assert_str_eq(config.listen.items[0], "127.0.0.1:8080");
    cr_assert(config.workers >= 1);
    cr_assert_str_empty(out_text);
    cr_assert_str_empty(err_text);
    ft_config_fini(&config);
}

Test(cli, options_become_settings)
{
    cr_assert_eq(run("--listen [::1]:0 --workers 3 --listen 127.0.0.1:0 --node n1 "
                     "--set limits.topics=5 --set=log.level=warn",
                     NULL),
                 FT_CLI_SERVE, "%s", err_text);
    cr_assert_eq(config.listen.count, 2);
    cr_assert_eq(config.workers, 3);
    cr_assert_str_eq(config.node, "n1");
    cr_assert_eq(config.limits_topics, 5);
    cr_assert_eq(config.log_level, FT_LOG_WARN);
    ft_config_fini(&config);
}

Test(cli, the_command_line_overrides_the_environment)
{
    cr_assert_eq(run("--workers 3", "FANTAIL_WORKERS=2"), FT_CLI_SERVE, "%s", err_text);
    cr_assert_eq(config.workers, 3);
    ft_config_fini(&config);
}

Test(cli, the_environment_overrides_the_file)
{
    cr_assert_eq(run("-c deploy/fantail.conf", "FANTAIL_NODE=from-environment"), FT_CLI_SERVE, "%s",
                 err_text);
    cr_assert_str_eq(config.node, "from-environment");
    ft_config_fini(&config);
}

Test(cli, check_config_prints_what_is_in_effect)
{
    cr_assert_eq(run("--check-config --set limits.message=1k --listen 127.0.0.1:1", NULL), 0);
    cr_assert(strstr(out_text, "listen = 127.0.0.1:1\n"));
    cr_assert(strstr(out_text, "\n[limits]\nmessage = 1k\n"));
    cr_assert_str_empty(err_text);
}

Test(cli, check_config_with_a_mistake_ends_with_1)
{
    assert_refused("--check-config --set limits.message=1", FT_CLI_BAD_CONFIG,
                   "limits.message = \"1\" must be");
    assert_refused("--check-config -c /nonexistent", FT_CLI_BAD_CONFIG, "/nonexistent");
}

Test(cli, check_config_of_a_topic_prints_what_holds_for_it)
{
    cr_assert_eq(run("--check-config --topic chat/42", NULL), 0);
    cr_assert_str_eq(out_text, "# \"chat/42\": no section matches, so the defaults hold\n"
                               "retain = no\nhistory = 0\nttl = 0\nslow = park\n"
                               "max_message = 0\nephemeral = no\npresence = no\n");
    cr_assert_str_empty(err_text);
}

Test(cli, a_topic_is_asked_about_alone_and_with_check_config)
{
    assert_refused("--topic a", FT_CLI_BAD_USAGE, "only --check-config takes a --topic");
    assert_refused("--help --topic a", FT_CLI_BAD_USAGE, "only --check-config takes a --topic");
    assert_refused("--check-config --topic a/#", FT_CLI_BAD_USAGE, "--topic: topic \"a/#\" holds");
    assert_refused("--check-config --topic a --topic b", FT_CLI_BAD_USAGE,
                   "there can be one --topic only, not also \"b\"");
    assert_refused("--check-config --topic", FT_CLI_BAD_USAGE,
                   "a value is missing after \"--topic\"");
    assert_refused("--check-config --topic a --workers 65", FT_CLI_BAD_CONFIG, "workers = \"65\"");
}

Test(cli, everything_is_read_again)
{
    char file[] = "/tmp/fantail-cli-test-XXXXXX";
    const char *argv[] = {"fantaild", "--set", "limits.topics=5", "-c", file, NULL};
    const char *environment[] = {"FANTAIL_LIMITS_PING=7", NULL};
    struct ft_cli cli = {
        .argc = 5, .argv = (char *const *)argv, .environment = (char *const *)environment};
    struct ft_config_error error;
    int fd = mkstemp(file);

    cr_assert_eq(write(fd, "node = a\n", 9), 9);
    cr_assert_eq(ft_cli_read(&cli, &config), FT_CLI_SERVE);
    ft_config_fini(&config);
    cr_assert_eq(pwrite(fd, "node = b\n", 9, 0), 9);
    cr_assert_eq(ft_cli_read_again(&cli, &config, &error), 0);
    cr_assert_str_eq(config.node, "b");
    cr_assert_str_eq(config.file, file);
    cr_assert_eq(config.limits_topics, 5);
    cr_assert_eq(config.limits_ping_s, 7);
    ft_config_fini(&config);
    cr_assert_eq(pwrite(fd, "nude = b\n", 9, 0), 9);
    cr_assert_eq(ft_cli_read_again(&cli, &config, &error), -1);
    cr_assert(strstr(error.text, ":1: there is no setting \"nude\"; did you mean node?"));
    close(fd);
    unlink(file);
}

Test(cli, bad_settings_end_with_1)
{
    assert_refused("--workers 65", FT_CLI_BAD_CONFIG, "--workers: workers = \"65\" must be");
    assert_refused("--set x", FT_CLI_BAD_CONFIG, "must be NAME=VALUE");
    assert_refused("--workers 1 --set workers=2", FT_CLI_BAD_CONFIG,
                   "--set: workers is set twice, first by --workers");
    assert_refused("--listen 127.0.0.1:1 --listen 127.0.0.1:1", FT_CLI_BAD_CONFIG,
                   "--listen: listen = \"127.0.0.1:1\"");
    assert_refused("--set limits.queue=4k", FT_CLI_BAD_CONFIG, "limits.queue = 4k must be");
}

Test(cli, a_command_line_that_cannot_be_read_ends_with_2)
{
    assert_refused("--bogus", FT_CLI_BAD_USAGE, "unknown option \"--bogus\"");
    assert_refused("-x", FT_CLI_BAD_USAGE, "unknown option \"-x\"");
    assert_refused("-c", FT_CLI_BAD_USAGE, "a value is missing after \"-c\"");
    assert_refused("--listen", FT_CLI_BAD_USAGE, "a value is missing after \"--listen\"");
    assert_refused("extra", FT_CLI_BAD_USAGE, "unexpected argument \"extra\"");
    assert_refused("-c a -c b", FT_CLI_BAD_USAGE, "there can be one -c only, not also \"b\"");
    assert_refused("--help extra", FT_CLI_BAD_USAGE, "unexpected argument \"extra\"");
}

Test(cli, version_is_one_line)
{
    cr_assert_eq(run("--version", NULL), 0);
    cr_assert_str_eq(out_text, "fantaild " FT_VERSION "\n");
}

Test(cli, help_shows_usage_and_settings_even_beside_a_broken_environment)
{
    cr_assert_eq(run("--help", "FANTAIL_WORKERS=many"), 0);
    cr_assert_eq(strncmp(out_text, "Usage: fantaild ", 16), 0);
    cr_assert(strstr(out_text, "  limits.message = 64k\n"));
}

Test(cli, the_sample_is_the_committed_one)
{
    char committed[16384] = "";
    FILE *file = fopen("deploy/fantail.conf", "r");

    cr_assert(file);
    cr_assert(fread(committed, 1, sizeof(committed) - 1, file) > 0);
    fclose(file);
    cr_assert_eq(run("--print-config-sample", NULL), 0);
    cr_assert_str_eq(out_text, committed);
}

Test(cli, an_answer_that_cannot_be_written_is_a_failure)
{
    const char *argv[] = {"fantaild", "--version", NULL};
    char *environment[] = {NULL};
    FILE *full = fopen("/dev/full", "w");
    size_t err_size;
    struct ft_cli cli = {
        .argc = 2, .argv = (char *const *)argv, .environment = environment, .out = full};

    cli.err = open_memstream(&err_text, &err_size);
    cr_assert_eq(ft_cli_read(&cli, &config), FT_CLI_BAD_CONFIG);
    fclose(cli.err);
    fclose(full);
    cr_assert(strstr(err_text, "cannot write the answer: No space left"));
}
