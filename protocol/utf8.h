/*
 * UTF-8 validation (RFC 3629, Unicode 15 table 3-7): no overlong forms, no surrogates, nothing above
 * U+10FFFF.
 */
#ifndef FT_PROTOCOL_UTF8_H
#define FT_PROTOCOL_UTF8_H

#include "protocol/slice.h"

bool ft_utf8_is_valid(struct ft_slice text);

/* Returns the size in bytes, 1 to 4, of the character that `text` begins with; 0 when it begins with
 * none (it is empty, or the bytes are not valid). */
size_t ft_utf8_char_size(struct ft_slice text);

/* Returns the length of the longest prefix of at most `max` bytes that does not end inside a
 * character of `text`, which is valid. */
size_t ft_utf8_cut(struct ft_slice text, size_t max);

#endif
