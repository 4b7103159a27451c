/* The proof that a server understood a WebSocket handshake (RFC 6455 section 4.2.2). */
#ifndef FT_PROTOCOL_WS_ACCEPT_H
#define FT_PROTOCOL_WS_ACCEPT_H

#include "protocol/slice.h"

/* Characters of a Sec-WebSocket-Accept: 20 bytes in base64. */
#define FT_WS_ACCEPT_LEN 28

/* Writes the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key, with a NUL. */
void ft_ws_accept(struct ft_slice key, char out[FT_WS_ACCEPT_LEN + 1]);

#endif
