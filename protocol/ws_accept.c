/* The key and a fixed text, hashed, in base64. Pure; any thread. */
#include "protocol/ws_accept.h"

#include "protocol/base64.h"
#include "protocol/sha1.h"

/* A key that is 16 bytes in base64. */
#define KEY_LEN 24

_Static_assert(FT_WS_ACCEPT_LEN == FT_BASE64_LEN(FT_SHA1_BYTES), "as long as a digest");

void ft_ws_accept(struct ft_slice key, char out[FT_WS_ACCEPT_LEN + 1])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */
    uint8_t text[KEY_LEN + sizeof(magic) - 1];
    uint8_t digest[FT_SHA1_BYTES];
    size_t len = key.len < KEY_LEN ? key.len : KEY_LEN;
    memcpy(text, key.ptr, len);
    memcpy(text + len, magic, sizeof(magic) - 1);
    ft_sha1(ft_slice(text, len + sizeof(magic) - 1), digest);
    out[ft_base64_encode(ft_slice(digest, sizeof(digest)), out)] = '\0';
}
