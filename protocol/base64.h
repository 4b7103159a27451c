/* Base64 with the standard alphabet and padding (RFC 4648 section 4). */
#ifndef FT_PROTOCOL_BASE64_H
#define FT_PROTOCOL_BASE64_H

#include "protocol/slice.h"

/* Bytes of text that `n` bytes become. */
#define FT_BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Writes FT_BASE64_LEN(bytes.len) characters, no NUL, and returns their number. */
size_t ft_base64_encode(struct ft_slice bytes, char *out);

/*
 * Says whether `text` is canonical: padded, no white space, unused bits zero. Sets `*len` to the
 * number of bytes that it stands for. With `out` not NULL (room for text.len / 4 * 3) decodes too.
 */
bool ft_base64_decode(struct ft_slice text, uint8_t *out, size_t *len);

#endif
