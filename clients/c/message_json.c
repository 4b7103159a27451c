/* From a message in either encoding to a tree of JSON. Knows no operation. Pure; any thread. */
#include "clients/c/message_json.h"

#include "protocol/transcode.h"

/* As JSON text. The largest message that a client takes is 4 MiB unless it was told otherwise, and none is 16 times
 * as long as JSON. */
enum { TEXT_MAX = 64 << 20 };

json_t *ft_message_json(enum ft_encoding encoding, struct ft_slice message)
{
    struct ft_buffer text;
    ft_buffer_init(&text, TEXT_MAX);
    enum ft_data_kind kind;
    struct ft_data data = {.kind = FT_DATA_MSGPACK, .bytes = message};
    if (encoding == FT_JSON)
        ft_buffer_add(&text, message.ptr, message.len);
    else if (ft_transcode(data, FT_JSON, &text, &kind) != FT_OK)
        text.failed = true;
    json_t *top =
        text.failed ? NULL : json_loadb((const char *)text.ptr, text.len, JSON_ALLOW_NUL, NULL);
    ft_buffer_fini(&text);
    return top;
}
