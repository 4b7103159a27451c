/* Subscriptions that the broker has ended: `unsubscribed` in an `error`, or in the `ok` of an `auth`. */
#ifndef FT_CLIENT_ENDED_H
#define FT_CLIENT_ENDED_H

#include "protocol/encoding.h"
#include "protocol/slice.h"

/* Calls `each` for every filter that a message of the broker, in this encoding, names as ended. */
void ft_ended_read(enum ft_encoding encoding, struct ft_slice message,
                   void (*each)(void *context, struct ft_slice filter), void *context);

#endif
