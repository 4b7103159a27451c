/*
 * The greatest position seen of each stream: all that a client has to remember to resume later. A
 * position is "<stream>.<offset>"; the stream's name is opaque, the offset a decimal number.
 */
#ifndef FT_CLIENT_POSITIONS_H
#define FT_CLIENT_POSITIONS_H

#include "protocol/position.h"

/* A cluster has 16 streams, or up to 256, and begins new ones when Redis was lost, while those of before
 * are kept until the broker says that it does not know them: room for a few lives of the largest. Of more,
 * the one that was longest without news is forgotten. */
#define FT_POSITIONS_MAX 1024

struct ft_positions {
    struct ft_position *items_;
    size_t count;
    size_t room_;
    size_t latest_;  /* the item that was updated last, the likeliest to be next */
    uint64_t clock_; /* counts updates, to know which item is the oldest */
};

void ft_positions_init(struct ft_positions *positions);
void ft_positions_fini(struct ft_positions *positions);

/* Forgets all of them. */
void ft_positions_clear(struct ft_positions *positions);

/* Remembers `pos` unless a greater one of its stream is known. */
void ft_positions_raise(struct ft_positions *positions, const struct ft_position_parts *pos);

/* The same from text. Says whether it was a position. */
bool ft_positions_see(struct ft_positions *positions, struct ft_slice text);

/* Says whether this position, or a greater one of its stream, is known. */
bool ft_positions_cover(const struct ft_positions *positions, const struct ft_position_parts *pos);

/* Says whether each of `others` is covered. */
bool ft_positions_cover_all(const struct ft_positions *positions,
                            const struct ft_positions *others);

/* Raises to each of `others`. */
void ft_positions_raise_all(struct ft_positions *positions, const struct ft_positions *others);

/* Goes back to the smaller one of each stream that both know, and takes over those that only
 * `others` knows: where whoever stands at either has to go on from. */
void ft_positions_lower_all(struct ft_positions *positions, const struct ft_positions *others);

/* Says whether both know the same streams wherever they are of the same partition of a cluster: a stream may go on
 * where another ends, and then the smaller ones of both are not known. Names of these streams begin with '0' and
 * two characters that say the partition. */
bool ft_positions_are_alike(const struct ft_positions *positions,
                            const struct ft_positions *others);

/* Lends the stream of the n-th of `count` positions, and its offset. */
struct ft_position_parts ft_positions_peek(const struct ft_positions *positions, size_t n);

/* Writes the n-th of `count` positions into `out` of `size` bytes, with a NUL; returns its length.
 * FT_POSITION_BYTES_MAX bytes are enough for any. */
size_t ft_positions_print(const struct ft_positions *positions, size_t n, char *out, size_t size);

#endif
