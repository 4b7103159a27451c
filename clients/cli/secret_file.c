/* Reads a key or a secret for a subcommand that makes credentials. The main thread. */
#include "clients/cli/secret_file.h"

#include <errno.h>
#include <stdio.h>

enum { FILE_BYTES_MAX = 64 * 1024 };

bool ft_secret_file_read(const char *path, struct ft_buffer *bytes)
{
    ft_buffer_init(bytes, FILE_BYTES_MAX + 1);
    bool is_input = strcmp(path, "-") == 0;
    uint8_t *at = ft_buffer_reserve(bytes, FILE_BYTES_MAX + 1);
    errno = 0;
    FILE *file = is_input ? stdin : fopen(path, "re");
    if (file && at)
        bytes->len = fread(at, 1, FILE_BYTES_MAX + 1, file);
    bool is_read = file && !ferror(file) && bytes->len <= FILE_BYTES_MAX;
    if (!is_read)
        fprintf(stderr, "fantail: %s: %s\n", path,
                errno ? strerror(errno) : "larger than the 64 KiB of any key");
    if (file && !is_input)
        fclose(file);
    return is_read;
}
