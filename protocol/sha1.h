/* SHA-1 (RFC 3174), for the WebSocket handshake, which asks for it. Not for anything that has to be secure. */
#ifndef FT_PROTOCOL_SHA1_H
#define FT_PROTOCOL_SHA1_H

#include "protocol/slice.h"

#define FT_SHA1_BYTES 20

void ft_sha1(struct ft_slice bytes, uint8_t digest[FT_SHA1_BYTES]);

#endif
