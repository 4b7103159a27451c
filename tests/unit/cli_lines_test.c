/* Lines of a pipe, however it is cut. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clients/cli/lines.h"

static int wakes[2];

/* For threads: Criterion's own assertions belong to the test's. */
static void must_write(int fd, const char *bytes, size_t n)
{
    for (ssize_t done; n > 0; bytes += done, n -= (size_t)done)
        if ((done = write(fd, bytes, n)) <= 0)
            abort();
}

static void on_wake(void *context)
{
    (void)context;
    must_write(wakes[1], "x", 1);
}

/* Waits for the reader to have called, then takes the next line. */
static enum ft_lines_state next(struct ft_lines *lines, struct ft_slice *line)
{
    for (;;) {
        enum ft_lines_state state = ft_lines_next(lines, line);
        if (state != FT_LINES_LATER)
            return state;
        char byte;
        cr_assert_eq(read(wakes[0], &byte, 1), 1);
    }
}

static void expect(struct ft_lines *lines, const char *text)
{
    struct ft_slice line;
    cr_assert_eq(next(lines, &line), FT_LINES_GOT, "%s did not come", text);
    cr_assert(ft_slice_equal(line, ft_slice_str(text)), "%.*s instead of %s", (int)line.len,
              (const char *)line.ptr, text);
}

static void expect_end(struct ft_lines *lines)
{
    struct ft_slice line;
    cr_assert_eq(next(lines, &line), FT_LINES_END);
    cr_assert_eq(next(lines, &line), FT_LINES_END, "and it stays the end");
    ft_lines_free(lines);
}

static struct ft_lines *start(int pipe_ends[2])
{
    alarm(60); /* a hang ends this test's process; Criterion's own .timeout leaks */
    cr_assert_eq(pipe(wakes), 0);
    cr_assert_eq(pipe(pipe_ends), 0);
    return ft_lines_new(pipe_ends[0], on_wake, NULL);
}

static void put(int fd, const char *text)
{
    must_write(fd, text, strlen(text));
}

Test(cli_lines, every_line_comes_without_its_ending)
{
    int ends[2];
    struct ft_lines *lines = start(ends);
    put(ends[1], "one\n\ntwo\r\nthree \r\rlast");
    close(ends[1]);
    expect(lines, "one");
    expect(lines, "");
    expect(lines, "two");
    expect(lines, "three \r\rlast");
    expect_end(lines);
}

Test(cli_lines, a_line_in_pieces_comes_whole_and_only_once_it_is)
{
    int ends[2];
    struct ft_slice line;
    struct ft_lines *lines = start(ends);
    put(ends[1], "hal");
    char byte;
    cr_assert_eq(read(wakes[0], &byte, 1), 1);
    cr_assert_eq(ft_lines_next(lines, &line), FT_LINES_LATER);
    put(ends[1], "f\nnext");
    expect(lines, "half");
    close(ends[1]);
    expect(lines, "next");
    expect_end(lines);
}

static void *write_many(void *context)
{
    int fd = *(int *)context;
    char line[64];
    for (int i = 0; i < 200000; i++) {
        int n = snprintf(line, sizeof(line), "%d:%.*s\n", i, i % 40,
                         "........................................");
        must_write(fd, line, (size_t)n);
    }
    close(fd);
    return NULL;
}

Test(cli_lines, many_lines_keep_their_order_across_blocks)
{
    int ends[2];
    pthread_t writer;
    struct ft_lines *lines = start(ends);
    cr_assert_eq(pthread_create(&writer, NULL, write_many, &ends[1]), 0);
    for (int i = 0; i < 200000; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%d:%.*s", i, i % 40,
                 "........................................");
        expect(lines, text);
    }
    expect_end(lines);
    pthread_join(writer, NULL);
}

static void *write_long(void *context)
{
    static char block[1 << 16];
    int fd = *(int *)context;
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < (FT_LINE_MAX >> 16) + 3; i++)
        must_write(fd, block, sizeof(block));
    must_write(fd, "\nafter\n", 7);
    close(fd);
    return NULL;
}

Test(cli_lines, a_line_that_is_too_long_is_skipped_alone)
{
    int ends[2];
    pthread_t writer;
    struct ft_slice line;
    struct ft_lines *lines = start(ends);
    cr_assert_eq(pthread_create(&writer, NULL, write_long, &ends[1]), 0);
    cr_assert_eq(next(lines, &line), FT_LINES_TOO_LONG);
    expect(lines, "after");
    expect_end(lines);
    pthread_join(writer, NULL);
}

Test(cli_lines, an_error_is_not_an_end)
{
    struct ft_slice line;
    cr_assert_eq(pipe(wakes), 0);
    int directory = open("/", O_RDONLY);
    struct ft_lines *lines = ft_lines_new(directory, on_wake, NULL);
    cr_assert_eq(next(lines, &line), FT_LINES_FAILED);
    cr_assert_eq(errno, EISDIR);
    ft_lines_free(lines);
}
