/*
 * Messages that wait while a hole before them is filled: a queue with a ceiling. Pure.
 */
#ifndef FT_RELAY_HELD_H
#define FT_RELAY_HELD_H

#include "protocol/buffer.h"

/* Enough for what comes in within a round trip. What does not fit is read from Redis later. */
#define FT_HELD_BYTES ((size_t)256 * 1024)

struct ft_held {
    struct ft_buffer bytes_; /* length, message, length, message, … */
    size_t at_;              /* those before it were taken */
};

void ft_held_init(struct ft_held *held);
void ft_held_fini(struct ft_held *held);
void ft_held_clear(struct ft_held *held);

/* Copies a message; false: there is no room, and it is not kept. */
bool ft_held_push(struct ft_held *held, struct ft_slice message);

/* Lends the oldest one until the next call; false: there is none. */
bool ft_held_pop(struct ft_held *held, struct ft_slice *message);

#endif
