/* Small files with keys and secrets. */
#ifndef FT_CLI_SECRET_FILE_H
#define FT_CLI_SECRET_FILE_H

#include "protocol/buffer.h"

/* Reads a file of at most 64 KiB, "-" for standard input, into `bytes`, which the caller ends with
 * ft_buffer_fini() in any case. False: said why on standard error. */
bool ft_secret_file_read(const char *path, struct ft_buffer *bytes);

#endif
