/*
 * Standard output in few writes. The main thread. SIGPIPE is ignored in a process with a client, so
 * that a reader's end arrives here as EPIPE.
 */
#include "clients/cli/output.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    RELIEVE_BYTES = 64 * 1024, /* what a pipe holds */
    /* One publication is bounded by the client's message limit, and is at most six times as long
       when it is printed (\u0000 for each byte). */
    MAX_BYTES = 64 << 20
};

void ft_output_init(struct ft_output *output)
{
    ft_buffer_init(&output->bytes, MAX_BYTES);
    output->state = FT_OUTPUT_OPEN;
    struct stat status;
    output->is_pipe = fstat(STDOUT_FILENO, &status) == 0 &&
                      (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

void ft_output_fini(struct ft_output *output)
{
    ft_buffer_fini(&output->bytes);
}

/* Waits for a standard output that somebody made non-blocking. */
static void wait_for_room(void)
{
    struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
    poll(&fd, 1, -1);
}

static void write_all(struct ft_output *output)
{
    const uint8_t *at = output->bytes.ptr;
    size_t left = output->bytes.len;
    while (left > 0) {
        ssize_t n = write(STDOUT_FILENO, at, left);
        if (n >= 0) {
            at += n;
            left -= (size_t)n;
        } else if (errno == EAGAIN) {
            wait_for_room();
        } else if (errno == EPIPE) {
            output->state = FT_OUTPUT_GONE;
            return;
        } else if (errno != EINTR) {
            perror("fantail: standard output");
            output->state = FT_OUTPUT_FAILED;
            return;
        }
    }
}

void ft_output_flush(struct ft_output *output)
{
    if (output->state == FT_OUTPUT_OPEN && output->bytes.len > 0)
        write_all(output);
    ft_buffer_clear(&output->bytes);
}

void ft_output_relieve(struct ft_output *output)
{
    if (output->bytes.len >= RELIEVE_BYTES)
        ft_output_flush(output);
}

void ft_output_check(struct ft_output *output)
{
    /* poll() reports these two without being asked. */
    struct pollfd fd = {.fd = STDOUT_FILENO};
    if (output->is_pipe && output->state == FT_OUTPUT_OPEN && poll(&fd, 1, 0) > 0 &&
        fd.revents & (POLLERR | POLLHUP))
        output->state = FT_OUTPUT_GONE;
}
