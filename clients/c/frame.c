/*
 * Frames of a client: header, mask, masked payload. Does not send them. The client's thread.
 */
#include "clients/c/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void ft_framer_init(struct ft_framer *framer)
{
    framer->used_ = sizeof(framer->random_);
}

static void refill(struct ft_framer *framer)
{
    size_t have = 0;
    while (have < sizeof(framer->random_)) {
        ssize_t n = getrandom(framer->random_ + have, sizeof(framer->random_) - have, 0);
        if (n < 0 && errno != EINTR)
            abort(); /* only a kernel without the call, which libc would not run on */
        if (n > 0)
            have += (size_t)n;
    }
    framer->used_ = 0;
}

/* Returns `n` random bytes, used once. */
static const uint8_t *draw(struct ft_framer *framer, size_t n)
{
    if (framer->used_ + n > sizeof(framer->random_))
        refill(framer);
    framer->used_ += n;
    return framer->random_ + framer->used_ - n;
}

void ft_framer_add(struct ft_framer *framer, enum ft_ws_opcode opcode, struct ft_slice payload,
                   struct ft_buffer *out)
{
    const uint8_t *mask = draw(framer, 4);
    uint8_t *at = ft_buffer_reserve(out, FT_WS_HEADER_MAX + payload.len);
    if (!at)
        return;
    size_t header = ft_ws_client_header(opcode, payload.len, mask, at);
    if (payload.len > 0)
        memcpy(at + header, payload.ptr, payload.len);
    ft_ws_mask(at + header, payload.len, mask, 0);
    out->len += header + payload.len;
}

uint64_t ft_framer_random(struct ft_framer *framer)
{
    uint64_t bits;
    memcpy(&bits, draw(framer, sizeof(bits)), sizeof(bits));
    return bits;
}
