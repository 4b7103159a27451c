/* Small files that an operator wrote. */
#ifndef FT_AUTH_FILE_H
#define FT_AUTH_FILE_H

#include "protocol/buffer.h"
#include "protocol/error.h"

#define FT_AUTH_FILE_MAX (1024 * 1024)

/* Room for a path as messages show it, NUL included. */
#define FT_AUTH_PATH_SHOWN_MAX 132

/* Writes a path of the operator's (UTF-8 without control characters) in quotes, of a long one its end, which
 * tells files apart. Returns `out`. */
const char *ft_auth_path_show(const char *path, char out[FT_AUTH_PATH_SHOWN_MAX]);

/* Reads a whole file of at most FT_AUTH_FILE_MAX bytes into `bytes`, which the caller ends with
 * ft_buffer_fini() in any case. FT_ERR_BAD_FIELD says why not. Blocks. */
FT_MUST_USE enum ft_err ft_auth_file_read(const char *path, struct ft_buffer *bytes,
                                          struct ft_problem *problem);

#endif
