/*
 * Reads the map of limits in a welcome, once a connection, which is why it may go through a library.
 * Pure; the client's thread.
 */
#include "clients/c/welcome.h"

#include <jansson.h>

#include "protocol/transcode.h"

/* A welcome is a few hundred bytes. */
enum { WELCOME_MAX = 16 * 1024 };

size_t ft_welcome_message_limit(enum ft_encoding encoding, struct ft_slice message)
{
    struct ft_buffer text;
    ft_buffer_init(&text, WELCOME_MAX);
    if (encoding == FT_JSON) {
        ft_buffer_add(&text, message.ptr, message.len);
    } else {
        enum ft_data_kind kind;
        struct ft_data data = {.kind = FT_DATA_MSGPACK, .bytes = message};
        if (ft_transcode(data, FT_JSON, &text, &kind) != FT_OK)
            text.failed = true;
    }
    size_t limit = 0;
    json_t *welcome = text.failed ? NULL : json_loadb((const char *)text.ptr, text.len, 0, NULL);
    json_int_t value =
        json_integer_value(json_object_get(json_object_get(welcome, "limits"), "message"));
    if (value > 0)
        limit = (size_t)value;
    json_decref(welcome);
    ft_buffer_fini(&text);
    return limit;
}
