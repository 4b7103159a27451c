/*
 * A thread reads blocks, the main thread takes them and cuts them into lines. At most two blocks and
 * one long line are in memory: the thread waits until its block was taken.
 */
#include "clients/cli/lines.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/alloc.h"
#include "protocol/buffer.h"

/* A few thousand short lines: the hand-over costs nothing against their publishing. */
enum { BLOCK_BYTES = 256 * 1024 };

struct ft_lines {
    int fd;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows: the block and what the reader says */
    pthread_cond_t taken;
    void (*wake)(void *context); /* does not block; NULL: nobody listens any more */
    void *context;
    uint8_t block[BLOCK_BYTES];
    size_t block_len; /* 0: the reader may fill it */
    int error;
    bool is_ended;

    /* the main thread's */
    struct ft_buffer text; /* what is not yet handed out begins at `at` */
    size_t at;
    size_t searched; /* no newline between `at` and here */
    bool is_skipping;
};

/* Hands over what was read: waits until the last block was taken. */
static void hand_over(struct ft_lines *lines, ssize_t n)
{
    pthread_mutex_lock(&lines->lock);
    if (n > 0)
        lines->block_len = (size_t)n;
    else
        lines->is_ended = true;
    if (n < 0)
        lines->error = errno;
    if (lines->wake)
        lines->wake(lines->context);
    while (lines->block_len > 0)
        pthread_cond_wait(&lines->taken, &lines->lock);
    pthread_mutex_unlock(&lines->lock);
}

static void *read_all(void *context)
{
    struct ft_lines *lines = context;
    for (;;) {
        ssize_t n = read(lines->fd, lines->block, BLOCK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        hand_over(lines, n);
        if (n <= 0)
            return NULL;
    }
}

struct ft_lines *ft_lines_new(int fd, void (*wake)(void *context), void *context)
{
    struct ft_lines *lines = ft_alloc_zero(sizeof(*lines));
    lines->fd = fd;
    lines->wake = wake;
    lines->context = context;
    pthread_mutex_init(&lines->lock, NULL);
    pthread_cond_init(&lines->taken, NULL);
    ft_buffer_init(&lines->text, FT_LINE_MAX + 2 * BLOCK_BYTES);
    FT_ASSERT(pthread_create(&lines->thread, NULL, read_all, lines) == 0);
    return lines;
}

/* Moves what is left to the front and takes the next block behind it. False: there is none now. */
static bool take_block(struct ft_lines *lines)
{
    pthread_mutex_lock(&lines->lock);
    size_t n = lines->block_len;
    if (n > 0) {
        size_t left = lines->text.len - lines->at;
        if (left > 0 && lines->at > 0)
            memmove(lines->text.ptr, lines->text.ptr + lines->at, left);
        lines->text.len = left;
        lines->searched -= lines->at;
        lines->at = 0;
        ft_buffer_add(&lines->text, lines->block, n);
        lines->block_len = 0;
        pthread_cond_signal(&lines->taken);
    }
    pthread_mutex_unlock(&lines->lock);
    return n > 0;
}

/* Hands out what ends at `end`; the next line begins at `next`. */
static enum ft_lines_state hand_out(struct ft_lines *lines, size_t end, size_t next,
                                    struct ft_slice *line)
{
    size_t len = end - lines->at;
    if (len > 0 && next > end && lines->text.ptr[end - 1] == '\r')
        len--;
    *line = ft_slice(lines->text.ptr + lines->at, len);
    lines->at = lines->searched = next;
    bool was_skipped = lines->is_skipping;
    lines->is_skipping = false;
    return was_skipped || len > FT_LINE_MAX ? FT_LINES_TOO_LONG : FT_LINES_GOT;
}

/* The end of the input, and of a last line without a newline. */
static enum ft_lines_state finish(struct ft_lines *lines, struct ft_slice *line)
{
    if (lines->text.len > lines->at || lines->is_skipping)
        return hand_out(lines, lines->text.len, lines->text.len, line);
    errno = lines->error;
    return lines->error ? FT_LINES_FAILED : FT_LINES_END;
}

static bool has_ended(struct ft_lines *lines)
{
    pthread_mutex_lock(&lines->lock);
    bool is_ended = lines->is_ended && lines->block_len == 0;
    pthread_mutex_unlock(&lines->lock);
    return is_ended;
}

enum ft_lines_state ft_lines_next(struct ft_lines *lines, struct ft_slice *line)
{
    for (;;) {
        const uint8_t *newline = NULL;
        if (lines->text.len > lines->searched)
            newline =
                memchr(lines->text.ptr + lines->searched, '\n', lines->text.len - lines->searched);
        if (newline) {
            size_t end = (size_t)(newline - lines->text.ptr);
            return hand_out(lines, end, end + 1, line);
        }
        lines->searched = lines->text.len;
        if (lines->text.len - lines->at > FT_LINE_MAX) {
            lines->at = lines->text.len; /* too long already: only its end matters */
            lines->is_skipping = true;
        }
        bool is_last = has_ended(lines); /* asked first: a block may come in between */
        if (take_block(lines))
            continue;
        return is_last ? finish(lines, line) : FT_LINES_LATER;
    }
}

void ft_lines_free(struct ft_lines *lines)
{
    if (!lines)
        return;
    if (!has_ended(lines)) {
        pthread_mutex_lock(&lines->lock);
        lines->wake = NULL;
        pthread_mutex_unlock(&lines->lock);
        return;
    }
    pthread_join(lines->thread, NULL);
    pthread_mutex_destroy(&lines->lock);
    pthread_cond_destroy(&lines->taken);
    ft_buffer_fini(&lines->text);
    free(lines);
}
