/*
 * Reads the map of limits in a welcome, once a connection, which is why it may go through a library.
 * Pure; the client's thread.
 */
#include "clients/c/welcome.h"

#include "clients/c/message_json.h"

size_t ft_welcome_message_limit(enum ft_encoding encoding, struct ft_slice message)
{
    json_t *welcome = ft_message_json(encoding, message);
    json_int_t limit =
        json_integer_value(json_object_get(json_object_get(welcome, "limits"), "message"));
    json_decref(welcome);
    return limit > 0 ? (size_t)limit : 0;
}
