/*
 * Reads the frames that a WebSocket client sends (RFC 6455 section 5) from bytes as they come, and unmasks
 * them in place. No socket and no memory of its own: what it lends lies in the caller's bytes. Strict:
 * frames without a mask, reserved bits, lengths not in their shortest form, fragments out of order and
 * long or fragmented control frames are errors.
 */
#ifndef FT_PROTOCOL_WS_READER_H
#define FT_PROTOCOL_WS_READER_H

#include "protocol/slice.h"

#include <stddef.h>

/* Zeroed: at the beginning of a connection. */
struct ft_ws_reader {
    uint64_t left_; /* of the payload of a data frame that has come in part */
    uint8_t mask_[4];
    uint8_t phase_;   /* bytes of payload that the mask has covered, modulo 4 */
    bool in_message_; /* a message has begun and its last frame not ended */
    bool is_final_, is_text_;
};

enum ft_ws_got {
    FT_WS_GOT_NOTHING, /* the bytes that are left are not enough; give them again, with what follows */
    FT_WS_GOT_PIECE, /* a piece of a message; a whole one where it lies in the bytes as one frame */
    FT_WS_GOT_PING,
    FT_WS_GOT_PONG,
    FT_WS_GOT_CLOSE,
    FT_WS_GOT_ERROR /* the peer broke the rules: 1002; nothing was taken */
};

/* Size of the longest control frame. What FT_WS_GOT_NOTHING leaves is shorter: a header, or a control
 * frame, short of its last byte. */
#define FT_WS_UNREAD_MAX 131

struct ft_ws_item {
    struct ft_slice bytes; /* the (piece of) payload, unmasked; dies with the caller's bytes */
    uint64_t to_come;      /* bytes of the same frame that were announced and have not come yet */
    bool is_text;          /* of the message, as its first frame said */
    bool is_first;         /* the message's first piece */
    bool is_last;          /* its last byte is in here */
};

/*
 * Takes the next thing off `*bytes` of `*len` bytes and moves both on behind it. `item` is filled for a
 * piece, and `item->bytes` for a control frame. A header whose payload has not come yet is a piece of no
 * bytes, so that the caller can refuse it by `to_come`.
 */
enum ft_ws_got ft_ws_read(struct ft_ws_reader *reader, uint8_t **bytes, size_t *len,
                          struct ft_ws_item *item);

#endif
