/*
 * Makes foreign bytes fit to be shown in an error message or a log line.
 */
#ifndef FT_PROTOCOL_QUOTE_H
#define FT_PROTOCOL_QUOTE_H

#include "protocol/slice.h"

/* Room for any quoted value, NUL included. */
#define FT_QUOTE_MAX 80

/*
 * Writes `bytes` in double quotes into `out`, as valid UTF-8: control characters, quotes,
 * backslashes and invalid bytes as \xNN, cut with an ellipsis where it does not fit. Returns `out`.
 */
const char *ft_quote(struct ft_slice bytes, char out[FT_QUOTE_MAX]);

#endif
