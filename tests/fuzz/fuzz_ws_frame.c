/*
 * WebSocket headers as they arrive: what is read can be written again, a verdict never changes when
 * more bytes come, masks undo themselves, and close payloads are what RFC 6455 allows.
 */
#include "protocol/utf8.h"
#include "protocol/ws_frame.h"
#include "tests/fuzz/check.h"

/* The verdict on a prefix is "more", until it is that on the whole, for good. */
static void check_prefixes(struct ft_slice bytes, int whole)
{
    struct ft_ws_header header;
    int verdict = 0;
    for (size_t n = 0; n < bytes.len && n <= FT_WS_HEADER_MAX; n++) {
        int now = ft_ws_header_read(ft_slice(bytes.ptr, n), &header);
        CHECK(verdict == 0 || now == verdict);
        verdict = now;
    }
    CHECK(verdict == 0 || verdict == whole);
}

static void check_header(struct ft_slice bytes, const struct ft_ws_header *header)
{
    CHECK(header->size >= 2 && header->size <= FT_WS_HEADER_MAX && header->size <= bytes.len);
    CHECK(header->len >> 63 == 0);
    CHECK(header->opcode < FT_WS_CLOSE || (header->is_final && header->len <= FT_WS_CONTROL_MAX));
    uint8_t out[FT_WS_HEADER_MAX];
    enum ft_ws_opcode opcode = (enum ft_ws_opcode)header->opcode;
    size_t size = header->is_masked ? ft_ws_client_header(opcode, header->len, header->mask, out)
                                    : ft_ws_server_header(opcode, header->len, out);
    CHECK(size == header->size);
    CHECK(header->is_masked || size == ft_ws_server_header_size(header->len));
    /* Written headers are final, without reserved bits; all else has to be the same. */
    CHECK((out[0] & 0x0F) == (bytes.ptr[0] & 0x0F));
    CHECK(memcmp(out + 1, bytes.ptr + 1, size - 1) == 0);
}

static void check_mask(struct ft_slice payload, const struct ft_ws_header *header)
{
    uint8_t *copy = malloc(payload.len + 1);
    CHECK(copy);
    if (payload.len > 0)
        memcpy(copy, payload.ptr, payload.len);
    size_t offset = header->len & 7;
    ft_ws_mask(copy, payload.len, header->mask, offset);
    for (size_t i = 0; i < payload.len; i++)
        CHECK(copy[i] == (payload.ptr[i] ^ header->mask[(offset + i) & 3]));
    /* In two pieces, as it may arrive. */
    size_t cut = payload.len / 3;
    ft_ws_mask(copy, cut, header->mask, offset);
    ft_ws_mask(copy + cut, payload.len - cut, header->mask, offset + cut);
    CHECK(payload.len == 0 || memcmp(copy, payload.ptr, payload.len) == 0);
    free(copy);
}

static void check_close(struct ft_slice payload)
{
    uint16_t code = 0;
    uint16_t answer = ft_ws_close_read(payload, &code);
    CHECK(answer == 0 || answer == 1002 || answer == 1007);
    if (answer != 0 || payload.len == 0) {
        CHECK(code == (payload.len == 0 ? 1005 : 0));
        return;
    }
    CHECK(code >= 1000 && code <= 4999 && code != 1005 && code != 1006);
    char *reason = strndup((const char *)payload.ptr + 2, payload.len - 2);
    uint8_t out[2 + FT_WS_CONTROL_MAX];
    size_t size = ft_ws_close_frame(code, reason, out);
    CHECK(size <= sizeof(out) && out[0] == 0x88 && out[1] == size - 2);
    CHECK(ft_utf8_is_valid(ft_slice(out + 4, size - 4)));
    CHECK(memcmp(out + 2, payload.ptr, size - 2) == 0);
    CHECK(size == 4 + strlen(reason) || strlen(reason) > FT_WS_CONTROL_MAX - 2);
    free(reason);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ft_slice all = ft_slice(bytes, len);
    struct ft_ws_header header;
    int verdict = ft_ws_header_read(all, &header);
    CHECK(verdict >= -1 && verdict <= 1);
    check_prefixes(all, verdict);
    if (verdict != 1)
        return 0;
    check_header(all, &header);
    struct ft_slice payload = ft_slice(bytes + header.size, len - header.size);
    check_mask(payload, &header);
    if (header.opcode == FT_WS_CLOSE)
        check_close(payload);
    return 0;
}
