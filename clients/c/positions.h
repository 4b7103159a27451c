/*
 * The greatest position seen of each stream: all that a client has to remember to resume later. A
 * position is "<stream>.<offset>"; the stream's name is opaque, the offset a decimal number.
 */
#ifndef FT_CLIENT_POSITIONS_H
#define FT_CLIENT_POSITIONS_H

#include "protocol/slice.h"

/* A cluster has 16 streams unless configured otherwise, and starts new ones when Redis was lost: of
 * more than this, the one that was longest without news is forgotten. */
#define FT_POSITIONS_MAX   256
#define FT_STREAM_NAME_MAX 64 /* bytes; longer names are not kept */

struct ft_positions {
    struct ft_position *items_;
    size_t count;
    size_t room_;
    size_t latest_;  /* the item that was updated last, the likeliest to be next */
    uint64_t clock_; /* counts updates, to know which item is the oldest */
};

void ft_positions_init(struct ft_positions *positions);
void ft_positions_fini(struct ft_positions *positions);

/* Remembers `pos` unless a greater one of its stream is known. Says whether it was a position. */
bool ft_positions_see(struct ft_positions *positions, struct ft_slice pos);

/* Writes the n-th of `count` positions into `out` of `size` bytes, with a NUL; returns its length. */
size_t ft_positions_print(const struct ft_positions *positions, size_t n, char *out, size_t size);

#endif
