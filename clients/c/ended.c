/*
 * Reads the list of filters that have ended, which is so rare that it may go through a library. Pure; the
 * client's thread.
 */
#include "clients/c/ended.h"

#include "clients/c/message_json.h"

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
    json_t *top = ft_message_json(encoding, message);
    read_list(json_object_get(top, "unsubscribed"), each, context);
    for (size_t i = 0; i < json_array_size(top); i++)
        read_list(json_object_get(json_array_get(top, i), "unsubscribed"), each, context);
    json_decref(top);
}
