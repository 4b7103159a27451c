/* Makes masked WebSocket frames, whole, so that many of them leave in one write. */
#ifndef FT_CLIENT_FRAME_H
#define FT_CLIENT_FRAME_H

#include "protocol/buffer.h"
#include "protocol/ws_frame.h"

/* RFC 6455 section 5.3 wants masks from a strong source. The kernel is one, and 1,024 masks a call
 * make that cost a few nanoseconds a frame. */
#define FT_FRAMER_RANDOM 4096

struct ft_framer {
    uint8_t random_[FT_FRAMER_RANDOM];
    size_t used_;
};

void ft_framer_init(struct ft_framer *framer);

/* Appends a final frame around `payload` to `out`; `out` has failed where it did not fit. */
void ft_framer_add(struct ft_framer *framer, enum ft_ws_opcode opcode, struct ft_slice payload,
                   struct ft_buffer *out);

/* Returns 64 random bits from the same source. */
uint64_t ft_framer_random(struct ft_framer *framer);

#endif
