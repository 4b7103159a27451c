/* What a welcome says beyond the keys that every envelope can have. */
#ifndef FT_CLIENT_WELCOME_H
#define FT_CLIENT_WELCOME_H

#include "protocol/encoding.h"
#include "protocol/slice.h"

/* Returns `limits.message` of a welcome, in bytes; 0 when it is not there. */
size_t ft_welcome_message_limit(enum ft_encoding encoding, struct ft_slice message);

#endif
