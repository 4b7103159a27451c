/* Base64 with the alphabet for URLs and without padding (RFC 4648 section 5), as tokens have it. */
#ifndef FT_PROTOCOL_BASE64URL_H
#define FT_PROTOCOL_BASE64URL_H

#include "protocol/slice.h"

/* Room for the text of `n` bytes while it is made; there is no NUL. */
#define FT_BASE64URL_ROOM(n) (((n) + 2) / 3 * 4)

/* Writes the text into `out` and returns its length. */
size_t ft_base64url_encode(struct ft_slice bytes, char *out);

/*
 * Says whether `text` is canonical: this alphabet only, no padding, no white space, unused bits zero.
 * Writes what it stands for into `out`, which has room for text.len / 4 * 3 + 2 bytes, and sets `*len`.
 */
bool ft_base64url_decode(struct ft_slice text, uint8_t *out, size_t *len);

#endif
