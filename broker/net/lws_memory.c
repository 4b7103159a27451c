/*
 * libwebsockets' allocator. Twofold: its own has a process-wide counter that several contexts would
 * race on; and it gives every connection a receive buffer of the size of a recv() (FT_RX_BYTES), of
 * which it uses only the first 128 bytes, for the payloads of control frames: data frames are handed
 * over where recv() put them. So that buffer gets what it needs and not what it asks for, which is the
 * difference between 2 KB and 66 KB a connection.
 *
 * True of version 4.1.6 without permessage-deflate (roles/ws/server-ws.c: lws_parse_ws() takes every
 * data opcode through lws_ws_frame_rest_is_payload()); with any other version the full size is given.
 * The integration suite runs control frames of all lengths, and messages of all sizes in all
 * segmentations, under AddressSanitizer, which would see a single byte too far.
 */
#include "broker/net/private.h"

#include <stdlib.h>

/* Room that libwebsockets leaves in front, the longest control payload, its NUL, and to spare. */
#define CONTROL_BYTES (LWS_PRE + 160)

#if LWS_LIBRARY_VERSION_NUMBER == 4001006
#define RX_BUFFER_IS_FOR_CONTROL true
#else
#define RX_BUFFER_IS_FOR_CONTROL false
#endif

static void *reallocate(void *ptr, size_t size, const char *reason)
{
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    if (RX_BUFFER_IS_FOR_CONTROL && !ptr && size >= FT_RX_BYTES && reason &&
        strcmp(reason, "rx_ubuf") == 0)
        size = CONTROL_BYTES;
    return realloc(ptr, size);
}

void ft_lws_memory_install(void)
{
    lws_set_allocator(reallocate);
}
