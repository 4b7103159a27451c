/* Reads key files at start and at a reload. The main thread. */
#include "broker/auth/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STEP_BYTES = 16 * 1024 };

const char *ft_auth_path_show(const char *path, char out[FT_AUTH_PATH_SHOWN_MAX])
{
    static const char ellipsis[] = "\xe2\x80\xa6";
    size_t len = strlen(path), room = FT_AUTH_PATH_SHOWN_MAX - sizeof("\"\"");
    const char *from = path;

    if (len > room) {
        from += len - room + strlen(ellipsis);
        while (((unsigned char)*from & 0xc0) == 0x80) /* not in the middle of a character */
            from++;
    }
    snprintf(out, FT_AUTH_PATH_SHOWN_MAX, "\"%s%s\"", from > path ? ellipsis : "", from);
    return out;
}

enum ft_err ft_auth_file_read(const char *path, struct ft_buffer *bytes, struct ft_problem *problem)
{
    ft_buffer_init(bytes, FT_AUTH_FILE_MAX + STEP_BYTES);
    /* A pipe that nobody writes to must not hold up the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && bytes->len <= FT_AUTH_FILE_MAX) {
        uint8_t *at = ft_buffer_reserve(bytes, STEP_BYTES);
        if (!at)
            break;
        n = read(fd, at, STEP_BYTES);
        if (n > 0)
            bytes->len += (size_t)n;
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "it cannot be read: %s", strerror(error));
    if (n > 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "it is larger than 1 MiB");
    return FT_OK;
}
