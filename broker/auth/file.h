/* Small files that an operator wrote. */
#ifndef FT_AUTH_FILE_H
#define FT_AUTH_FILE_H

#include "protocol/buffer.h"
#include "protocol/error.h"

#define FT_AUTH_FILE_MAX (1024 * 1024)

/* Reads a whole file of at most FT_AUTH_FILE_MAX bytes into `bytes`, which the caller ends with
 * ft_buffer_fini() in any case. FT_ERR_BAD_FIELD says why not. Blocks. */
FT_MUST_USE enum ft_err ft_auth_file_read(const char *path, struct ft_buffer *bytes,
                                          struct ft_problem *problem);

#endif
