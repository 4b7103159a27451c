/*
 * Reads the list of filters that have ended, which is so rare that it may go through a library. Pure; the
 * client's thread.
 */
#include "clients/c/ended.h"

#include <jansson.h>

#include "protocol/transcode.h"

/* Far more filters than a session can have by default. */
enum { MESSAGE_MAX = 16 << 20 };

static void read_list(const json_t *list, void (*each)(void *context, struct ft_slice filter),
                      void *context)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *filter = json_array_get(list, i);
        if (json_is_string(filter))
            each(context, ft_slice(json_string_value(filter), json_string_length(filter)));
    }
}

void ft_ended_read(enum ft_encoding encoding, struct ft_slice message,
                   void (*each)(void *context, struct ft_slice filter), void *context)
{
    struct ft_buffer text;
    ft_buffer_init(&text, MESSAGE_MAX);
    enum ft_data_kind kind;
    struct ft_data data = {.kind = FT_DATA_MSGPACK, .bytes = message};
    if (encoding == FT_JSON)
        ft_buffer_add(&text, message.ptr, message.len);
    else if (ft_transcode(data, FT_JSON, &text, &kind) != FT_OK)
        text.failed = true;
    json_t *top = text.failed ? NULL : json_loadb((const char *)text.ptr, text.len, 0, NULL);
    read_list(json_object_get(top, "unsubscribed"), each, context);
    for (size_t i = 0; i < json_array_size(top); i++)
        read_list(json_object_get(json_array_get(top, i), "unsubscribed"), each, context);
    json_decref(top);
    ft_buffer_fini(&text);
}
