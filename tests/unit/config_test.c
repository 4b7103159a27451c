/*
 * Settings from every source, and the mistakes that each can hold. Files are real ones, in a
 * directory of their own; the environment is an array of this test's.
 */
#include "broker/app/address.h"
#include "broker/app/config.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

static struct ft_config config;
static struct ft_config_error error;
static char path[] = "/tmp/fantail-config-test-XXXXXX";

static void begin(void)
{
    ft_config_init(&config);
    memset(&error, 0, sizeof(error));
}

static void end(void)
{
    ft_config_fini(&config);
    unlink(path);
}

TestSuite(config, .init = begin, .fini = end);

/* Writes `size` bytes into a new file and loads that. */
static int load_bytes(const char *bytes, size_t size)
{
    int fd = mkstemp(path);

    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
    return ft_config_load_file(&config, path, &error);
}

static int load(const char *text)
{
    return load_bytes(text, strlen(text));
}

static int load_env(const char *variable)
{
    const char *environment[] = {variable, NULL};

    return ft_config_load_env(&config, (char *const *)environment, &error);
}

#define assert_error(fragment) \
    cr_assert(strstr(error.text, fragment), "\"%s\" is not in \"%s\"", fragment, error.text)

/* What `make` puts into the sample, as one text that the caller frees. */
static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    print(out);
    fclose(out);
    return text;
}

Test(config, defaults_are_complete_and_finish_without_complaint)
{
    cr_assert_eq(config.listen.count, 1);
    cr_assert_str_eq(config.listen.items[0], "127.0.0.1:8080");
    cr_assert_eq(config.limits_message, 65536);
    cr_assert_eq(config.limits_queue, 1048576);
    cr_assert_eq(config.limits_ping_s, 25);
    cr_assert_eq(config.journal_size, 64 << 20);
    cr_assert_eq(config.shutdown_timeout_ms, 1500);
    cr_assert_eq(config.log_level, FT_LOG_INFO);
    cr_assert_str_eq(config.http_path, "/ws");
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
}

Test(config, the_node_is_called_as_its_host)
{
    char host[65] = "";

    gethostname(host, sizeof(host) - 1);
    cr_assert_eq(strlen(config.node), strlen(host));
    for (size_t i = 0; host[i]; i++)
        cr_assert(config.node[i] == host[i] || config.node[i] == '-');
    cr_assert_eq(ft_config_set(&config, "node=broker_1.example-org", &error), 0);
    cr_assert_str_eq(config.node, "broker_1.example-org");
}

Test(config, zero_workers_become_the_cores_that_may_be_used)
{
    cr_assert_eq(ft_config_finish(&config, &error), 0);
    cr_assert(config.workers >= 1 && config.workers <= 64);
}

Test(config, every_default_is_within_its_own_bounds_and_shows_as_it_reads)
{
    for (size_t i = 0; i < ft_option_count; i++) {
        char shown[FT_OPTION_VALUE_MAX], again[FT_OPTION_VALUE_MAX], name[FT_OPTION_NAME_MAX];
        char assignment[FT_OPTION_VALUE_MAX + FT_OPTION_NAME_MAX + 1];
        const struct ft_option *option = &ft_options[i];
        const void *field = ft_config_field(&config, option);

        ft_option_show(option, field, shown, sizeof(shown));
        snprintf(assignment, sizeof(assignment), "%s=%s", ft_option_name(option, name), shown);
        cr_assert_eq(ft_config_set(&config, assignment, &error), 0, "%s", error.text);
        cr_assert_str_eq(ft_option_show(option, field, again, sizeof(again)), shown);
    }
}

Test(config, names_in_the_table_are_unique_and_within_their_buffers)
{
    for (size_t i = 0; i < ft_option_count; i++) {
        char name[FT_OPTION_NAME_MAX], env[FT_OPTION_ENV_MAX];

        cr_assert_eq(ft_option_find(ft_option_name(&ft_options[i], name)), &ft_options[i]);
        cr_assert(strlen(name) + strlen("FANTAIL_") < FT_OPTION_ENV_MAX - 1);
        cr_assert_eq(strlen(ft_option_env(&ft_options[i], env)), strlen(name) + strlen("FANTAIL_"));
    }
}

Test(config, a_file_sets_values_at_the_top_and_in_sections)
{
    cr_assert_eq(load("# comment\nworkers = 3\nnode=a\n\n[limits]\nmessage = 1k ; inline\n"
                      "ping=2m\n[log]\nlevel = debug\n[shutdown]\ntimeout=2s\n"),
                 0, "%s", error.text);
    cr_assert_eq(config.workers, 3);
    cr_assert_str_eq(config.node, "a");
    cr_assert_eq(config.limits_message, 1024);
    cr_assert_eq(config.limits_ping_s, 120);
    cr_assert_eq(config.log_level, FT_LOG_DEBUG);
    cr_assert_eq(config.shutdown_timeout_ms, 2000);
}

Test(config, a_list_in_a_file_replaces_the_default_and_may_take_several_lines)
{
    cr_assert_eq(load("listen = 127.0.0.1:1, [::1]:2\n  0.0.0.0:0\nlisten = 0.0.0.0:0\n"), 0, "%s",
                 error.text);
    cr_assert_eq(config.listen.count, 4);
    cr_assert_str_eq(config.listen.items[1], "[::1]:2");
    cr_assert_str_eq(config.listen.items[3], "0.0.0.0:0");
}

Test(config, a_mistake_in_a_file_is_named_by_its_line)
{
    cr_assert_eq(load("workers = 1\n[limits]\n\nmessage = 64q\n"), -1);
    assert_error(":4: limits.message = \"64q\" must be a number of bytes from 256 to 16m");
}

Test(config, the_first_of_several_mistakes_is_reported)
{
    cr_assert_eq(load("workers = many\n[limits]\nmessage = 64q\nbroken\n"), -1);
    assert_error(":1: workers = \"many\"");
}

Test(config, a_line_that_is_no_setting_is_named)
{
    cr_assert_eq(load("workers = 1\nworkers 2\n"), -1);
    assert_error(":2: the line must be NAME = VALUE");
}

Test(config, a_setting_twice_in_one_file_is_refused_with_both_lines)
{
    cr_assert_eq(load("[limits]\ntopics = 1\ntopics = 2\n"), -1);
    assert_error(":3: limits.topics is set twice");
    assert_error(":2; keep one");
}

Test(config, a_typo_gets_the_nearest_name)
{
    cr_assert_eq(load("[limit]\nmesage = 1k\n"), -1);
    assert_error(":2: there is no setting \"limit.mesage\"; did you mean limits.message?");
}

Test(config, a_name_without_its_section_gets_the_whole_name)
{
    cr_assert_eq(ft_config_set(&config, "header_timeout=3", &error), -1);
    assert_error("did you mean http.header_timeout?");
}

Test(config, a_name_that_resembles_nothing_gets_no_guess)
{
    cr_assert_eq(ft_config_set(&config, "colour.of.the.sky=blue", &error), -1);
    assert_error("there is no setting \"colour.of.the.sky\"; fantaild --help");
}

Test(config, a_line_that_would_be_cut_is_refused)
{
    char text[400] = "node = ";

    memset(text + 7, 'x', 300);
    cr_assert_eq(load(text), -1);
    assert_error(":1: the line is longer than 198 bytes");
}

Test(config, a_line_that_is_too_long_for_a_header_is_refused)
{
    char text[2000] = "[topic \"";

    memset(text + 8, 'x', 1500);
    cr_assert_eq(load(text), -1);
    assert_error(":1: the line is longer than 1022 bytes");
}

Test(config, a_nul_byte_in_a_file_is_refused)
{
    cr_assert_eq(load_bytes("workers = 1\nno\0de = a\n", 22), -1);
    assert_error(":2: the line holds a NUL byte");
}

Test(config, a_last_line_without_a_newline_counts)
{
    cr_assert_eq(load("workers = 5"), 0, "%s", error.text);
    cr_assert_eq(config.workers, 5);
}

Test(config, a_file_that_cannot_be_read_says_why)
{
    cr_assert_eq(ft_config_load_file(&config, "/nonexistent/fantail.conf", &error), -1);
    assert_error("/nonexistent/fantail.conf: cannot be opened: No such file");
    cr_assert_eq(ft_config_load_file(&config, "/", &error), -1);
    assert_error("/: cannot be read: Is a directory");
}

Test(config, each_source_overrides_the_one_before)
{
    cr_assert_eq(load("workers = 1\n[limits]\ntopics = 1\nqueue = 2m\n"), 0);
    const char *environment[] = {"FANTAIL_WORKERS=2", "HOME=/", "FANTAIL_LIMITS_TOPICS=2", NULL};
    cr_assert_eq(ft_config_load_env(&config, (char *const *)environment, &error), 0, "%s",
                 error.text);
    cr_assert_eq(ft_config_set(&config, "workers = 3", &error), 0, "%s", error.text);
    cr_assert_eq(config.workers, 3);
    cr_assert_eq(config.limits_topics, 2);
    cr_assert_eq(config.limits_queue, 2 << 20);
}

Test(config, a_list_from_the_command_line_replaces_and_then_grows)
{
    cr_assert_eq(load_env("FANTAIL_LISTEN=0.0.0.0:1,0.0.0.0:2"), 0);
    cr_assert_eq(config.listen.count, 2);
    cr_assert_eq(ft_config_set(&config, "listen=[::]:3", &error), 0);
    cr_assert_eq(ft_config_set(&config, "listen=[::]:4", &error), 0);
    cr_assert_eq(config.listen.count, 2);
    cr_assert_str_eq(config.listen.items[0], "[::]:3");
    cr_assert_str_eq(config.listen.items[1], "[::]:4");
}

Test(config, a_bad_value_in_the_environment_names_the_variable)
{
    cr_assert_eq(load_env("FANTAIL_LOG_LEVEL=loud"), -1);
    assert_error("FANTAIL_LOG_LEVEL: log.level = \"loud\" must be error, warn, info or debug");
}

Test(config, a_mistyped_variable_is_an_error)
{
    cr_assert_eq(load_env("FANTAIL_LIMITS_MESAGE=1k"), -1);
    assert_error(
        "\"FANTAIL_LIMITS_MESAGE\" is not a setting; did you mean FANTAIL_LIMITS_MESSAGE?");
    cr_assert_eq(load_env("FANTAIL_LISTN=0.0.0.0:1"), -1);
    assert_error("did you mean FANTAIL_LISTEN?");
}

Test(config, variables_of_platforms_and_other_programs_are_left_alone)
{
    const char *environment[] = {"FANTAIL_PORT=tcp://10.0.0.1:8080",
                                 "FANTAIL_SERVICE_HOST=10.0.0.1",
                                 "FANTAIL_HTTP_SERVICE_PORT=80",
                                 "FANTAIL_PORT_8080_TCP_ADDR=10.0.0.1",
                                 "FANTAIL_URL=ws://x",
                                 "FANTAIL_TOKEN=x",
                                 "FANTAIL_WORKERS=",
                                 "FANTAIL_",
                                 "FANTAILS=1",
                                 NULL};

    cr_assert_eq(ft_config_load_env(&config, (char *const *)environment, &error), 0, "%s",
                 error.text);
    cr_assert_eq(config.workers, 0);
}

Test(config, numbers_are_held_to_their_bounds_and_their_suffixes)
{
    static const char *const bad[] = {
        "limits.message=255",
        "limits.message=17m",
        "limits.message=-1",
        "limits.message=+300",
        "limits.message=1 k",
        "limits.message=1kb",
        "limits.message=0x400",
        "limits.message=",
        "limits.message=k",
        "limits.message=99999999999999999999",
        "limits.message=1.5k",
        "journal.size=18446744073709551615g",
        "workers=65",
        "workers=2k",
        "limits.ping=0",
        "limits.ping=2h",
        "shutdown.timeout=1500",
        "shutdown.timeout=99ms",
        "limits.topics=0",
        "limits.connections=16777217",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(ft_config_set(&config, bad[i], &error), -1, "%s was taken", bad[i]);
        assert_error("must be a number of ");
    }
    cr_assert_eq(config.limits_message, 65536);
    cr_assert_eq(ft_config_set(&config, "limits.message=16M", &error), 0);
    cr_assert_eq(config.limits_message, 16 << 20);
    cr_assert_eq(ft_config_set(&config, "journal.size=64g", &error), 0);
    cr_assert_eq(config.journal_size, 64ULL << 30);
    cr_assert_eq(ft_config_set(&config, "limits.ping=1h", &error), 0);
    cr_assert_eq(config.limits_ping_s, 3600);
}

Test(config, names_and_paths_hold_only_what_needs_no_quoting)
{
    static const char *const bad[] = {
        "node=",          "node=a b",         "node=a/b",      "node=\xc3\xa4",
        "http.path=",     "http.path=/",      "http.path=ws",  "http.path=/a b",
        "http.path=/a?b", "http.path=/v1/ws", "http.path=/v1", "http.path=/healthz",
        "http.path=//ws", "http.path=/%20",
    };
    char long_node[5 + 65 + 1] = "node=";

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(ft_config_set(&config, bad[i], &error), -1, "%s was taken", bad[i]);
    memset(long_node + 5, 'n', 65);
    cr_assert_eq(ft_config_set(&config, long_node, &error), -1);
    long_node[5 + 64] = 0;
    cr_assert_eq(ft_config_set(&config, long_node, &error), 0);
    cr_assert_eq(ft_config_set(&config, "http.path=/v10/ws", &error), 0, "%s", error.text);
}

Test(config, the_same_address_twice_is_refused_but_port_0_may_repeat)
{
    cr_assert_eq(ft_config_set(&config, "listen=0.0.0.0:1, 0.0.0.0:1", &error), -1);
    assert_error("different addresses");
    cr_assert_eq(ft_config_set(&config, "listen=0.0.0.0:1", &error), 0);
    cr_assert_eq(ft_config_set(&config, "listen=0.0.0.0:1", &error), -1);
    cr_assert_eq(ft_config_set(&config, "listen=0.0.0.0:0 0.0.0.0:0", &error), 0);
    cr_assert_eq(config.listen.count, 3);
}

Test(config, what_is_wrong_with_a_url_of_redis_is_said_without_showing_it)
{
    cr_assert_eq(ft_config_set(&config, "redis.url=redis://h, redis://u:secret@h:99999", &error),
                 -1);
    assert_error("redis.url must be up to 16 URLs such as redis://");
    assert_error("of number 2: the port is a number from 1 to 65535");
    cr_assert_not(strstr(error.text, "secret"));
    cr_assert_eq(ft_config_set(&config, "redis.url=rediss://h", &error), -1);
    assert_error("of number 1: TLS to Redis is not supported");
    cr_assert_eq(config.redis_url.count, 0);
}

Test(config, more_addresses_than_the_table_allows_are_refused)
{
    for (int i = 1; i <= 16; i++) {
        char assignment[64];
        snprintf(assignment, sizeof(assignment), "listen=127.0.0.1:%d", i);
        cr_assert_eq(ft_config_set(&config, assignment, &error), 0, "%s", error.text);
    }
    cr_assert_eq(ft_config_set(&config, "listen=127.0.0.1:17", &error), -1);
    cr_assert_eq(config.listen.count, 16);
}

Test(config, settings_that_contradict_each_other_name_both)
{
    cr_assert_eq(ft_config_set(&config, "limits.message=2m", &error), 0);
    cr_assert_eq(ft_config_finish(&config, &error), -1);
    assert_error("--set: limits.queue = 1m must be at least 2m, that is limits.message");
}

Test(config, a_journal_holds_four_of_the_largest_messages)
{
    cr_assert_eq(load("[limits]\nmessage = 512k\n[journal]\nsize = 1m\n"), 0);
    cr_assert_eq(ft_config_finish(&config, &error), -1);
    assert_error(":4: journal.size = 1m must be at least 2m, that is 4 times limits.message");
}

Test(config, an_assignment_needs_an_equals_sign)
{
    cr_assert_eq(ft_config_set(&config, "workers", &error), -1);
    assert_error("--set: \"workers\" must be NAME=VALUE");
}

Test(config, foreign_bytes_in_errors_are_quoted)
{
    cr_assert_eq(ft_config_set(&config, "node=\x1b[31m\n", &error), -1);
    for (const char *at = error.text; *at; at++)
        cr_assert(!iscntrl((unsigned char)*at));
}

Test(config, what_is_printed_reads_back_to_the_same)
{
    char *first = NULL, *second = NULL;
    size_t size = 0;

    cr_assert_eq(ft_config_set(&config, "listen=[::1]:0,127.0.0.1:9", &error), 0);
    cr_assert_eq(
        load("[limits]\nqueue = 3m\n[topic \"a \\\"b\\\" \\\\/#\"]\nslow = latest\nttl=1h\n"
             "[topic \"#\"]\n"),
        0, "%s", error.text);
    unlink(path);
    FILE *out = open_memstream(&first, &size);
    ft_config_print(&config, out);
    fclose(out);
    ft_config_fini(&config);
    ft_config_init(&config);
    strcpy(path + strlen(path) - 6, "XXXXXX");
    cr_assert_eq(load(first), 0, "%s", error.text);
    out = open_memstream(&second, &size);
    ft_config_print(&config, out);
    fclose(out);
    cr_assert_str_eq(first, second);
    cr_assert(strstr(first, "\n\n[topic \"a \\\"b\\\" \\\\/#\"]\nretain = no\n"));
    free(first);
    free(second);
}

Test(config, the_sample_with_every_setting_switched_on_is_valid)
{
    char *sample = printed(ft_config_print_sample);
    size_t settings = 0;

    for (char *at = sample; (at = strstr(at, "\n#")) != NULL; at += 2)
        if (at[2] != ' ' && at[2] != '\n') {
            at[1] = ' ';
            /* A setting starts its line: the space would make it the line before's. */
            memmove(at + 1, at + 2, strlen(at + 2) + 1);
            settings++;
        }
    cr_assert_eq(settings, ft_option_count + 1 + ft_topic_option_count);
    cr_assert_eq(load(sample), 0, "%s", error.text);
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
    free(sample);
}

Test(config, the_help_names_every_setting)
{
    char *help = printed(ft_config_print_help);

    for (size_t i = 0; i < ft_option_count; i++) {
        char name[FT_OPTION_NAME_MAX], line[FT_OPTION_NAME_MAX + 4];
        snprintf(line, sizeof(line), "\n  %s", ft_option_name(&ft_options[i], name));
        cr_assert(strstr(help, line), "%s is missing", name);
    }
    for (size_t i = 0; i < ft_topic_option_count; i++) {
        char line[FT_OPTION_NAME_MAX + 8];
        snprintf(line, sizeof(line), "\n  %s = ", ft_topic_options[i].name);
        cr_assert(strstr(help, line), "%s is missing", line);
    }
    free(help);
}

/* ---- going over to other settings ---- */

/* Loads another file into a config of its own. */
static void load_next(struct ft_config *next, const char *text)
{
    struct ft_config running = config;

    ft_config_init(&config);
    unlink(path);
    strcpy(path + strlen(path) - 6, "XXXXXX");
    cr_assert_eq(load(text), 0, "%s", error.text);
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
    *next = config;
    config = running;
}

Test(config, only_what_can_change_while_running_is_taken_over)
{
    struct ft_config next;
    bool is_kept[FT_OPTION_ROWS], is_new[FT_OPTION_ROWS];

    cr_assert_eq(ft_config_set(&config, "node=n1", &error), 0);
    cr_assert_eq(ft_config_finish(&config, &error), 0);
    const char *node = config.node;
    load_next(&next, "node = n2\nlisten = [::1]:1, 127.0.0.1:2\n[limits]\nping = 5\n[log]\n"
                     "level = debug\n[journal]\nkeys = 7\n");
    cr_assert_eq(ft_config_keep(&config, &next, is_kept, &error), 0, "%s", error.text);
    cr_assert_str_eq(next.node, "n1");
    cr_assert_eq(next.listen.count, 1);
    ft_config_adopt(&config, &next, is_new);
    cr_assert_eq(config.node, node, "strings that others were lent stay where they are");
    cr_assert_eq(config.limits_ping_s, 5);
    cr_assert_eq(config.log_level, FT_LOG_DEBUG);
    cr_assert_eq(config.journal_keys, 100000);
    for (size_t i = 0; i < FT_OPTION_ROWS; i++) {
        bool kept = i == FT_ROW_node || i == FT_ROW_listen || i == FT_ROW_journal_keys;
        cr_assert_eq(is_kept[i], kept, "%s", ft_options[i].name);
        cr_assert_eq(is_new[i], i == FT_ROW_limits_ping_s || i == FT_ROW_log_level, "%s",
                     ft_options[i].name);
    }
    ft_config_fini(&next);
}

Test(config, what_contradicts_a_setting_that_has_to_stay_is_refused)
{
    struct ft_config next;
    bool is_kept[FT_OPTION_ROWS];

    cr_assert_eq(ft_config_set(&config, "limits.flush=1m", &error), 0);
    cr_assert_eq(ft_config_finish(&config, &error), 0);
    load_next(&next, "[limits]\nflush = 4k\nqueue = 64k\n");
    cr_assert_eq(ft_config_keep(&config, &next, is_kept, &error), -1);
    cr_assert(
        strstr(error.text, ":3: limits.queue = 64k must be at least 1m, that is limits.flush"),
        "%s", error.text);
    ft_config_fini(&next);
}

/* ---- addresses ---- */

Test(address, hosts_and_ports_are_split)
{
    struct ft_address address;

    cr_assert(ft_address_parse("127.0.0.1:8080", &address));
    cr_assert_str_eq(address.host, "127.0.0.1");
    cr_assert_eq(address.port, 8080);
    cr_assert_not(address.is_ipv6);
    cr_assert(ft_address_parse("[2001:db8::1]:0", &address));
    cr_assert_str_eq(address.host, "2001:db8::1");
    cr_assert_eq(address.port, 0);
    cr_assert(address.is_ipv6);
}

Test(address, anything_else_is_refused)
{
    static const char *const bad[] = {
        "",           ":",          ":80",        "127.0.0.1",     "127.0.0.1:", "127.0.0.1:65536",
        "1.2.3:80",   "::1:80",     "[::1]",      "[::1]80",       "[::1:80",    "[127.0.0.1]:80",
        "host:80",    "1.2.3.4:-1", "1.2.3.4:8x", "1.2.3.4:80:80", "[::1]:",     "1.2.3.4: 80",
        "[::1%lo]:1", "*:80",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ft_address address = {.port = 7};
        cr_assert_not(ft_address_parse(bad[i], &address), "%s was taken", bad[i]);
        cr_assert_eq(address.port, 7);
    }
}
