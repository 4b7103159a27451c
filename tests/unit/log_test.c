/* Log lines as they reach stderr, and values that have to be made fit for them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "protocol/utf8.h"

/* Sends stderr through a pipe, so that a test can read what was written. A line is shorter than the
 * pipe, so that nobody waits. */
struct capture {
    int saved, from;
};

static struct capture begin_capture(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    struct capture capture = {.saved = dup(STDERR_FILENO), .from = ends[0]};
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return capture;
}

static size_t end_capture(struct capture capture, char *out, size_t size)
{
    dup2(capture.saved, STDERR_FILENO);
    close(capture.saved);
    size_t n = 0;
    ssize_t got;
    while ((got = read(capture.from, out + n, size - 1 - n)) > 0)
        n += (size_t)got;
    close(capture.from);
    out[n] = '\0';
    return n;
}

static void assert_like(const char *text, const char *pattern)
{
    regex_t regex;
    cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    cr_assert_eq(regexec(&regex, text, 0, NULL, 0), 0, "%s is not like %s", text, pattern);
    regfree(&regex);
}

#define TS "^ts=20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z "

Test(log, a_line_has_time_level_event_and_fields)
{
    char out[4096];
    struct capture capture = begin_capture();
    ft_log(FT_LOG_INFO, "listening", "address=%s workers=%d", "127.0.0.1:8080", 2);
    end_capture(capture, out, sizeof(out));
    assert_like(out, TS "level=info event=listening address=127\\.0\\.0\\.1:8080 workers=2\n$");
}

/* An empty format in a literal is a warning of the compiler's, though the contract allows it. */
static void log_without_fields(const char *event, const char *format)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    ft_log(FT_LOG_ERROR, event, format);
#pragma GCC diagnostic pop
}

Test(log, a_line_without_fields_has_no_blank_at_its_end)
{
    char out[4096];
    struct capture capture = begin_capture();
    log_without_fields("stopped", "");
    end_capture(capture, out, sizeof(out));
    assert_like(out, TS "level=error event=stopped\n$");
}

/* Returns the time that a line begins with, in milliseconds since the epoch. */
static uint64_t time_of(const char *line)
{
    struct tm utc = {0};
    const char *rest = strptime(line, "ts=%Y-%m-%dT%H:%M:%S.", &utc);
    cr_assert_not_null(rest, "no time in %s", line);
    return (uint64_t)timegm(&utc) * 1000 + strtoull(rest, NULL, 10);
}

Test(log, the_time_of_a_line_is_that_of_the_wall_clock)
{
    /* Ten lines, 13 ms apart: some have more than 99 ms. */
    for (unsigned i = 0; i < 10; i++) {
        char out[4096];
        struct capture capture = begin_capture();
        uint64_t before = ft_clock_wall_ms();
        ft_log(FT_LOG_INFO, "now", "i=%u", i);
        uint64_t after = ft_clock_wall_ms();
        end_capture(capture, out, sizeof(out));
        uint64_t at = time_of(out);
        cr_assert(before <= at && at <= after, "%llu is not in %llu to %llu",
                  (unsigned long long)at, (unsigned long long)before, (unsigned long long)after);
        while (ft_clock_wall_ms() < after + 13)
            continue;
    }
}

Test(log, a_log_that_cannot_be_written_changes_nothing_for_its_caller)
{
    int saved = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = ERANGE;
    ft_log(FT_LOG_ERROR, "lost", "a=%d", 1);
    int left = errno;
    dup2(saved, STDERR_FILENO);
    close(saved);
    cr_assert_eq(left, ERANGE, "errno became %d", left);
}

Test(log, only_the_level_and_graver_ones_are_written)
{
    char out[4096];
    ft_log_set_level(FT_LOG_WARN);
    cr_assert(ft_log_is_on(FT_LOG_ERROR) && ft_log_is_on(FT_LOG_WARN));
    cr_assert_not(ft_log_is_on(FT_LOG_INFO) || ft_log_is_on(FT_LOG_DEBUG));
    struct capture capture = begin_capture();
    ft_log(FT_LOG_INFO, "not_written", "a=%d", 1);
    ft_log(FT_LOG_WARN, "written", "a=%d", 1);
    end_capture(capture, out, sizeof(out));
    assert_like(out, TS "level=warn event=written a=1\n$");
}

Test(log, a_line_that_is_too_long_is_cut_at_a_character_and_says_so)
{
    for (size_t shift = 0; shift < 4; shift++) {
        char value[4000] = "", out[8192];
        for (size_t i = 0; i < shift; i++)
            strcat(value, ".");
        while (strlen(value) < 3900)
            strcat(value, "\xF0\x9F\xA6\x80");
        struct capture capture = begin_capture();
        ft_log(FT_LOG_INFO, "long", "value=%s", value);
        size_t n = end_capture(capture, out, sizeof(out));
        cr_assert(n > 1900 && n <= 2048, "%zu bytes", n);
        cr_assert(ft_utf8_is_valid(ft_slice(out, n)));
        cr_assert_str_eq(out + n - 10, " cut=true\n");
    }
}

static void assert_value(const char *text, const char *expected)
{
    char out[64];
    cr_assert_str_eq(ft_log_value(text, out, sizeof(out)), expected);
}

Test(log, a_value_is_quoted_where_logfmt_needs_it)
{
    assert_value("plain/value:1", "plain/value:1");
    assert_value("é€", "é€");
    assert_value("", "\"\"");
    assert_value("two words", "\"two words\"");
    assert_value("a=b", "\"a=b\"");
    assert_value("say \"x\"", "\"say \\\"x\\\"\"");
    assert_value("a\\b", "\"a\\\\b\"");
    assert_value("line\nnext\ttab\rback", "\"line\\nnext\\ttab\\rback\"");
    assert_value("\x01\xFF\xC2\x85", "\"\\x01\\xFF\\xC2\\x85\"");
}

Test(log, a_value_that_does_not_fit_is_cut_and_still_whole_in_form)
{
    for (unsigned long size = 0; size < 24; size++) {
        char out[25];
        memset(out, 'Z', sizeof(out));
        const char *made = ft_log_value("two words \"and\" €", out, size);
        size_t n = strlen(made);
        cr_assert(n < size || size == 0);
        cr_assert(n == 0 || (made[0] == '"' && made[n - 1] == '"'), "%s", made);
        cr_assert_eq(out[size], 'Z');
        made = ft_log_value("€€€€€€€€€", out, size);
        cr_assert(strlen(made) < size || size == 0);
        cr_assert(ft_utf8_is_valid(ft_slice_str(made)));
    }
}

Test(clock, the_clocks_agree_with_each_other_and_do_not_go_back)
{
    uint64_t before_ns = ft_clock_mono_ns();
    uint64_t ms = ft_clock_mono_ms();
    uint64_t after_ns = ft_clock_mono_ns();
    cr_assert(before_ns / 1000000 <= ms && ms <= after_ns / 1000000);
    cr_assert_gt(ft_clock_wall_ms(), UINT64_C(1577836800000)); /* 2020 */
}

Test(alloc, sizes_of_zero_are_places_too)
{
    void *a = ft_alloc(0);
    void *b = ft_alloc_zero(0);
    void *c = ft_realloc(NULL, 0);
    cr_assert(a && b && c);
    free(a);
    free(b);
    free(c);
}

Test(alloc, what_is_asked_for_zeroed_or_aligned_is)
{
    uint8_t *zeroed = ft_alloc_zero(1000);
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(zeroed[i], 0);
    free(zeroed);
    for (size_t alignment = sizeof(void *); alignment <= 4096; alignment *= 2) {
        void *aligned = ft_alloc_aligned(alignment, 10);
        cr_assert_eq((uintptr_t)aligned % alignment, 0);
        free(aligned);
    }
    char *copy = ft_strdup("text");
    cr_assert_str_eq(copy, "text");
    free(copy);
}

Test(alloc, a_fact_that_does_not_hold_ends_the_process, .signal = SIGABRT)
{
    FT_ASSERT(1 + 1 == 2);
    FT_ASSERT(1 + 1 == 3);
}
