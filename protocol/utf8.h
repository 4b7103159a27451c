/*
 * UTF-8 validation (RFC 3629, Unicode 15 table 3-7): no overlong forms, no surrogates, nothing above
 * U+10FFFF.
 */
#ifndef FT_PROTOCOL_UTF8_H
#define FT_PROTOCOL_UTF8_H

#include "protocol/slice.h"

bool ft_utf8_is_valid(struct ft_slice text);

#endif
