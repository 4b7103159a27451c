/* A message of the broker as a library reads JSON: for what is rare, and not worth a reader of its own. */
#ifndef FT_CLIENT_MESSAGE_JSON_H
#define FT_CLIENT_MESSAGE_JSON_H

#include <jansson.h>

#include "protocol/encoding.h"
#include "protocol/slice.h"

/* Reads a message, one envelope or an array of them; free it with json_decref(). NULL: it cannot be read. */
json_t *ft_message_json(enum ft_encoding encoding, struct ft_slice message);

#endif
