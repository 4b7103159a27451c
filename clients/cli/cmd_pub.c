/*
 * `fantail pub`: publishes one value, a file, or every line of standard input, and ends when each
 * was answered. The main thread; lines come from a reader's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "clients/cli/lines.h"
#include "clients/cli/link.h"
#include "protocol/buffer.h"
#include "protocol/envelope.h"
#include "protocol/topic.h"
#include "protocol/utf8.h"

enum {
    TURN_PUBLICATIONS = 512, /* before answers are read: measured, more gains nothing */
    FAILURES = 8,            /* kinds of failure that are told apart */
    FILE_MAX = 64 << 20,     /* larger than what any broker takes */
    SUFFIX_BYTES = 21,       /* of a key: a dash and a number of 64 bits */
    KEY_ROOM = FT_KEY_BYTES_MAX + SUFFIX_BYTES + 1
};

/* Failures of one code: how many, and what the first one said. */
struct failure {
    int code;
    uint64_t count;
    char text[FT_PROBLEM_TEXT_MAX];
};

struct pub {
    struct ft_link link;
    const char *topic;
    struct ft_lines *lines; /* -l; else `data`, `count` times */
    struct ft_slice data;
    uint64_t count;
    bool is_retained;
    uint64_t ttl_s;  /* 0: as long as the broker keeps it */
    const char *key; /* NULL: none */

    struct ft_slice line; /* taken from `lines` and not yet published */
    bool has_line, is_exhausted;
    uint64_t taken; /* publications made so far */
    double rate;    /* a second; 0: as fast as the broker answers */
    uint64_t paced_from_ns;

    struct failure failures[FAILURES];
    uint64_t failed;
};

static void count_failure(struct pub *pub, int code, const char *text)
{
    pub->failed++;
    for (size_t i = 0; i < FAILURES; i++) {
        struct failure *failure = &pub->failures[i];
        if (failure->count > 0 && failure->code != code && i < FAILURES - 1)
            continue;
        if (failure->count++ == 0) {
            failure->code = code;
            snprintf(failure->text, sizeof(failure->text), "%s", text);
        }
        return;
    }
}

static void on_result(struct fantail *f, const struct fantail_result *result, void *user)
{
    (void)f;
    if (result->code != 0)
        count_failure(user, result->code, result->message);
}

/* Takes white space off both ends, as JSON means it. */
static struct ft_slice trimmed(struct ft_slice text)
{
    while (text.len > 0 && memchr(" \t\r\n", text.ptr[text.len - 1], 4))
        text.len--;
    while (text.len > 0 && memchr(" \t\r\n", text.ptr[0], 4)) {
        text.ptr++;
        text.len--;
    }
    return text;
}

/* What DATA is: JSON if it parses, else a string, and bytes where it is no text at all. */
static enum fantail_kind kind_of(struct ft_slice *data)
{
    struct ft_slice json = trimmed(*data);
    if (json.len > 0 && ft_data_check(FT_JSON, json, NULL) == FT_OK) {
        *data = json;
        return FANTAIL_JSON;
    }
    return ft_utf8_is_valid(*data) ? FANTAIL_STRING : FANTAIL_BYTES;
}

/* The key of the next publication: where there are several, the n-th has KEY-n. NULL: none. */
static const char *next_key(const struct pub *pub, char out[KEY_ROOM])
{
    if (!pub->key || (!pub->lines && pub->count == 1))
        return pub->key;
    snprintf(out, KEY_ROOM, "%s-%llu", pub->key, (unsigned long long)pub->taken + 1);
    return out;
}

/* Publishes; false when the queue is full, and the same data must come again. */
static bool publish(struct pub *pub, struct ft_slice data)
{
    char key[KEY_ROOM];
    struct fantail_publish_options options = {
        .retain = pub->is_retained,
        .ttl_s = (uint32_t)pub->ttl_s,
        .key = next_key(pub, key),
        .on_result = on_result,
        .user = pub,
    };
    enum fantail_kind kind = kind_of(&data);
    int code = fantail_publish(pub->link.client, pub->topic, kind, data.ptr, data.len, &options);
    if (code == FANTAIL_FULL)
        return false;
    pub->taken++;
    if (code != 0 && pub->lines) {
        char text[FT_PROBLEM_TEXT_MAX + 32];
        snprintf(text, sizeof(text), "line %llu: %s", (unsigned long long)pub->taken,
                 fantail_error_text(pub->link.client));
        count_failure(pub, code, text);
    } else if (code != 0) {
        count_failure(pub, code, fantail_error_text(pub->link.client));
    }
    return true;
}

/* Makes sure of a line in hand; false when there is none now. */
static bool take_line(struct pub *pub)
{
    while (!pub->has_line) {
        switch (ft_lines_next(pub->lines, &pub->line)) {
        case FT_LINES_GOT:
            pub->has_line = true;
            break;
        case FT_LINES_TOO_LONG:
            pub->taken++;
            count_failure(pub, FANTAIL_TOO_LARGE, "a line is longer than 16 MiB");
            break;
        case FT_LINES_LATER:
            return false;
        case FT_LINES_FAILED:
            ft_link_fail(&pub->link, FT_EXIT_FAILED, "standard input: %s", strerror(errno));
            pub->is_exhausted = true;
            return false;
        case FT_LINES_END:
            pub->is_exhausted = true;
            return false;
        }
    }
    return true;
}

/* Publishes the next piece of what there is; false when there is none now, or no room. */
static bool publish_next(struct pub *pub)
{
    if (!pub->lines) {
        pub->is_exhausted = pub->taken >= pub->count;
        return !pub->is_exhausted && publish(pub, pub->data);
    }
    if (!take_line(pub) || !publish(pub, pub->line))
        return false;
    pub->has_line = false;
    return true;
}

/* Returns how many may be published now, and in `*wait_ms` when the next one may. */
static uint64_t allowance(struct pub *pub, int *wait_ms)
{
    *wait_ms = -1;
    if (pub->rate <= 0)
        return TURN_PUBLICATIONS;
    uint64_t now_ns = ft_clock_mono_ns();
    double due_ns = (double)pub->taken / pub->rate * 1e9;
    /* A stall of more than a second is not made good by a burst. */
    if (pub->paced_from_ns == 0 || (double)(now_ns - pub->paced_from_ns) > due_ns + 1e9)
        pub->paced_from_ns = now_ns - (uint64_t)(due_ns < (double)now_ns ? due_ns : 0);
    double elapsed_ns = (double)(now_ns - pub->paced_from_ns);
    if (elapsed_ns < due_ns) {
        *wait_ms = (int)((due_ns - elapsed_ns) / 1e6) + 1;
        return 0;
    }
    double may = (elapsed_ns - due_ns) / 1e9 * pub->rate + 1;
    *wait_ms = 0;
    return may < TURN_PUBLICATIONS ? (uint64_t)may : TURN_PUBLICATIONS;
}

/* One turn's publications; returns how long the turn may wait then. */
static int feed(struct pub *pub)
{
    if (pub->is_exhausted || fantail_state(pub->link.client) != FANTAIL_OPEN)
        return -1;
    int wait_ms;
    uint64_t may = allowance(pub, &wait_ms);
    for (uint64_t n = 0; n < may; n++)
        if (!publish_next(pub))
            return pub->is_exhausted && fantail_pending(pub->link.client) == 0 ? 0 : -1;
    return pub->rate > 0 ? wait_ms : 0;
}

static void run(struct pub *pub)
{
    while (!ft_link_is_interrupted() && pub->link.exit_code == FT_EXIT_OK) {
        int wait_ms = feed(pub);
        if (pub->is_exhausted && fantail_pending(pub->link.client) == 0)
            return;
        if (!fantail_run(pub->link.client, wait_ms))
            return;
    }
}

static void report(struct pub *pub)
{
    if (pub->link.exit_code == FT_EXIT_NO_BROKER)
        return; /* that is the cause, and it was said */
    for (size_t i = 0; i < FAILURES && pub->failures[i].count > 0; i++)
        ft_link_fail(&pub->link, FT_EXIT_FAILED, "%llu of %llu publications failed with %d: %s",
                     (unsigned long long)pub->failures[i].count, (unsigned long long)pub->taken,
                     pub->failures[i].code, pub->failures[i].text);
    if (!pub->is_exhausted && pub->link.exit_code == FT_EXIT_OK)
        ft_link_fail(&pub->link, FT_EXIT_FAILED, "interrupted after %llu publications",
                     (unsigned long long)pub->taken);
}

static void wake(void *client)
{
    fantail_wake(client);
}

static int publish_all(struct pub *pub, const struct ft_link_options *options, bool from_lines)
{
    if (!ft_link_open(&pub->link, options, pub))
        return pub->link.exit_code;
    if (from_lines)
        pub->lines = ft_lines_new(STDIN_FILENO, wake, pub->link.client);
    run(pub);
    ft_lines_free(pub->lines);
    ft_link_close(&pub->link);
    report(pub);
    return pub->link.exit_code;
}

/* Reads a whole file, "-" for standard input. False: said why. */
static bool read_file(const char *path, struct ft_buffer *bytes)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        uint8_t *at = ft_buffer_reserve(bytes, 65536);
        if (!at) {
            fprintf(stderr, "fantail: %s: larger than the 64 MiB that can be published\n", path);
            n = -1;
            errno = 0;
            break;
        }
        n = read(fd, at, 65536);
        if (n > 0)
            bytes->len += (size_t)n;
    }
    if (n < 0 && errno)
        fprintf(stderr, "fantail: %s: %s\n", path, strerror(errno));
    if (fd > STDIN_FILENO)
        close(fd);
    return n == 0;
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts(
        "usage: fantail pub TOPIC DATA [OPTION]…\n"
        "       fantail pub TOPIC -l [OPTION]…\n"
        "       fantail pub TOPIC -f FILE [OPTION]…\n\n"
        "Publishes, and ends when the broker has answered. DATA, a line or a file is published as\n"
        "JSON if it parses as JSON, else as a string, and as bytes where it is not UTF-8.\n");
    ft_flags_print(flags, n, stdout);
    puts(
        "\nA key makes repeating safe: of publications with one key on one topic within two minutes\n"
        "the broker takes the first and delivers no other. With -l and --count the n-th has the key\n"
        "KEY-n, so the same command again publishes only what did not get through. What the broker could\n"
        "not take just now (503), or got no answer for in time (504), it repeats by itself with a key and\n"
        "reports without. `--retain null` clears a last value.\n"
        "\nexit codes: 0 all accepted, 1 one was not, 2 wrong command line, 3 no connection");
}

struct wishes {
    struct ft_link_options link;
    const char *file;
    bool is_lines, is_help;
};

/* Says what is wrong with the key, or NULL. */
static const char *check_key(const struct pub *pub, bool is_lines)
{
    struct ft_slice key = ft_slice_str(pub->key ? pub->key : "-");
    if (key.len == 0 || key.len > FT_KEY_BYTES_MAX || !ft_utf8_is_valid(key))
        return "--key is 1 to 128 bytes of UTF-8";
    if ((is_lines || pub->count > 1) && key.len + SUFFIX_BYTES > FT_KEY_BYTES_MAX)
        return "--key is at most 107 bytes with -l and --count, which add a number to it";
    return NULL;
}

/* Says what is wrong with the command line, or NULL. */
static const char *check(const struct wishes *wishes, int argc, const struct pub *pub)
{
    if (argc < 2)
        return "which topic? For example: fantail pub greetings '{\"hello\":1}'";
    int sources = (argc > 2) + wishes->is_lines + (wishes->file != NULL);
    if (sources != 1 || argc > 3)
        return "what to publish is one of DATA, -l and -f FILE (quote DATA with spaces)";
    if (wishes->is_lines && pub->count > 0)
        return "--count is for DATA and -f; -l publishes every line once";
    if (pub->ttl_s > UINT32_MAX)
        return "--ttl is at most 4294967295";
    return check_key(pub, wishes->is_lines);
}

static int start(struct pub *pub, const struct wishes *wishes, int argc, char **argv)
{
    struct ft_problem problem;
    pub->topic = argv[1];
    if (ft_topic_check(ft_slice_str(pub->topic), &problem) != FT_OK) {
        fprintf(stderr, "fantail pub: %s\n", problem.text);
        return FT_EXIT_USAGE;
    }
    if (pub->count == 0)
        pub->count = 1;
    struct ft_buffer file;
    ft_buffer_init(&file, FILE_MAX);
    int code = FT_EXIT_FAILED;
    if (!wishes->file || read_file(wishes->file, &file)) {
        pub->data = wishes->file ? ft_buffer_slice(&file) : ft_slice_str(argc > 2 ? argv[2] : "");
        code = publish_all(pub, &wishes->link, wishes->is_lines);
    }
    ft_buffer_fini(&file);
    return code;
}

int ft_cmd_pub(int argc, char **argv)
{
    struct pub pub = {0};
    struct wishes wishes = {0};
    const struct ft_flag flags[] = {
        {'l', "lines", NULL, FT_FLAG_SWITCH, &wishes.is_lines,
         "publish each line of standard input"},
        {'f', "file", "FILE", FT_FLAG_TEXT, &wishes.file, "publish a file; - is standard input"},
        {'\0', "count", "N", FT_FLAG_COUNT, &pub.count, "publish the same N times"},
        {'\0', "rate", "R", FT_FLAG_NUMBER, &pub.rate, "publish at most R a second"},
        {'\0', "retain", NULL, FT_FLAG_SWITCH, &pub.is_retained,
         "also keep it as the topic's last value, for those who subscribe later"},
        {'\0', "ttl", "SECONDS", FT_FLAG_COUNT, &pub.ttl_s, "keep it at most so long"},
        {'\0', "key", "KEY", FT_FLAG_TEXT, &pub.key, "take it once, however often it is repeated"},
        FT_LINK_FLAGS(&wishes.link),
        {'h', "help", NULL, FT_FLAG_SWITCH, &wishes.is_help, "print this"},
    };
    const size_t n = sizeof(flags) / sizeof(flags[0]);
    struct ft_problem problem;
    if (ft_flags_parse(flags, n, &argc, argv, &problem) != FT_OK) {
        fprintf(stderr, "fantail pub: %s\n", problem.text);
        return FT_EXIT_USAGE;
    }
    if (wishes.is_help) {
        print_help(flags, n);
        return FT_EXIT_OK;
    }
    const char *wrong = check(&wishes, argc, &pub);
    if (wrong) {
        fprintf(stderr, "fantail pub: %s\n", wrong);
        return FT_EXIT_USAGE;
    }
    return start(&pub, &wishes, argc, argv);
}
