/* Positions: "<stream>.<offset>", SPEC.md section 4. */
#ifndef FT_PROTOCOL_POSITION_H
#define FT_PROTOCOL_POSITION_H

#include "protocol/error.h"
#include "protocol/slice.h"

/* Longest name of a stream, whoever made it; and room for a whole position, its NUL included. */
#define FT_STREAM_BYTES_MAX   64
#define FT_POSITION_BYTES_MAX (FT_STREAM_BYTES_MAX + 1 + 20 + 1)

struct ft_position_parts {
    struct ft_slice stream; /* lent from the text */
    uint64_t offset;
};

/* Takes a position apart. FT_ERR_BAD_FIELD says why it is none; `problem` may be NULL. */
FT_MUST_USE enum ft_err ft_position_read(struct ft_slice text, struct ft_position_parts *parts,
                                         struct ft_problem *problem);

#endif
