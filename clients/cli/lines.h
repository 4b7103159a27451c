/*
 * Lines of a file descriptor, read by a thread of its own, because a pipe may be silent for hours
 * while the connection has to be looked after.
 */
#ifndef FT_CLI_LINES_H
#define FT_CLI_LINES_H

#include "protocol/slice.h"

/* Longest line that is handed out whole; the broker's largest message is smaller. */
#define FT_LINE_MAX (16 << 20)

struct ft_lines;

enum ft_lines_state {
    FT_LINES_GOT,      /* there is a line */
    FT_LINES_TOO_LONG, /* one was longer than FT_LINE_MAX and is skipped */
    FT_LINES_LATER,    /* not now: `wake` is called once there is more */
    FT_LINES_END,      /* no more */
    FT_LINES_FAILED    /* reading failed; errno is set */
};

/* Starts to read `fd`. `wake` is called with `context` from the reading thread; it must not block,
 * nor call anything here. */
struct ft_lines *ft_lines_new(int fd, void (*wake)(void *context), void *context);

/* Sets `*line` to the next one, without its newline (or CR LF); lent until the next call. The last
 * one needs no newline. */
enum ft_lines_state ft_lines_next(struct ft_lines *lines, struct ft_slice *line);

/* Frees a reader that has reached the end. One that still waits for its descriptor cannot be
 * stopped: it stays until the process ends, but calls `wake` no more. */
void ft_lines_free(struct ft_lines *lines);

#endif
