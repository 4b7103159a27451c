/*
 * Origins as the operator writes them (RFC 6454 section 6.1): https://example.com,
 * http://localhost:3000, a host of *.example.com for all below that one, and * for everybody.
 */
#ifndef FT_APP_ORIGIN_H
#define FT_APP_ORIGIN_H

#include "protocol/error.h"

#include <stdbool.h>

/* Says whether it is one: a scheme, a host, perhaps a port; no path, not even a slash at the end. */
bool ft_origin_is_valid(const char *text);

/* Returns how a browser writes a valid one: in lower case, without the port that is the scheme's own. The
 * caller frees it. */
char *ft_origin_normal(const char *text);

#endif
