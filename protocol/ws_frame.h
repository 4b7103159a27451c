/*
 * WebSocket frame headers (RFC 6455 section 5.2) and close payloads (5.5.1). Only the bytes: no state
 * machine, no socket.
 */
#ifndef FT_PROTOCOL_WS_FRAME_H
#define FT_PROTOCOL_WS_FRAME_H

#include "protocol/encoding.h"
#include "protocol/slice.h"

enum ft_ws_opcode {
    FT_WS_CONTINUATION = 0x0,
    FT_WS_TEXT = 0x1,
    FT_WS_BINARY = 0x2,
    FT_WS_CLOSE = 0x8,
    FT_WS_PING = 0x9,
    FT_WS_PONG = 0xA
};

/* Longest header: 2 + 8 of length + 4 of mask. A server's frames have no mask: at most 10. */
#define FT_WS_HEADER_MAX        14
#define FT_WS_SERVER_HEADER_MAX 10
#define FT_WS_CONTROL_MAX       125

struct ft_ws_header {
    bool is_final;
    bool is_masked;
    uint8_t reserved; /* RSV1-3, as bits 6-4 of the first byte */
    uint8_t opcode;
    uint8_t mask[4];
    uint64_t len; /* of the payload */
    uint8_t size; /* of this header */
};

/* Returns the size of an unmasked header for `len` bytes of payload: 2, 4 or 10. */
static inline size_t ft_ws_server_header_size(uint64_t len)
{
    return len < 126 ? 2 : len < 65536 ? 4 : 10;
}

/* Writes a final, unmasked header into `out` (room for 10) and returns its size. */
size_t ft_ws_server_header(enum ft_ws_opcode opcode, uint64_t len, uint8_t *out);

/* Writes a final, masked header into `out` (room for 14) and returns its size. */
size_t ft_ws_client_header(enum ft_ws_opcode opcode, uint64_t len, const uint8_t mask[4],
                           uint8_t *out);

/*
 * Reads a header. Returns 1 and fills `header`; 0 when `bytes` ends before the header does; -1 when
 * no header can begin so (unknown opcode, a control frame that is long or not final, a length with
 * its top bit set or not in its shortest form).
 */
int ft_ws_header_read(struct ft_slice bytes, struct ft_ws_header *header);

/* XORs `n` bytes with the mask, `offset` bytes into the payload. */
void ft_ws_mask(uint8_t *bytes, size_t n, const uint8_t mask[4], size_t offset);

/* Writes a whole unmasked CLOSE frame (reason cut to 123 bytes at a character) into `out`, which has
 * room for 2 + FT_WS_CONTROL_MAX, and returns its size. */
size_t ft_ws_close_frame(uint16_t code, const char *reason, uint8_t *out);

/*
 * Reads a CLOSE payload: sets `*code` (1005 when it is empty) and returns 0; or returns the code to
 * answer with when the payload is not allowed: 1002 (one byte, or a code that may not be sent), 1007
 * (the reason is not UTF-8).
 */
uint16_t ft_ws_close_read(struct ft_slice payload, uint16_t *code);

/* The opcode that carries an encoding. */
static inline enum ft_ws_opcode ft_ws_opcode_of(enum ft_encoding encoding)
{
    return encoding == FT_JSON ? FT_WS_TEXT : FT_WS_BINARY;
}

#endif
