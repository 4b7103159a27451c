/*
 * WebSocket frame headers and close payloads, byte by byte after RFC 6455. Knows nothing of
 * connections, of which opcode may follow which, or of who must mask: that is the reader's business.
 * Pure; any thread.
 */
#include "protocol/ws_frame.h"

#include "protocol/utf8.h"

enum {
    FINAL_BIT = 0x80,
    RESERVED_BITS = 0x70,
    OPCODE_BITS = 0x0F,
    MASK_BIT = 0x80,
    LEN_BITS = 0x7F
};

/* The values of the 7-bit length that announce a longer one. */
enum { LEN_16 = 126, LEN_64 = 127 };

/* Writes the length field and returns the size of the header so far. */
static size_t put_len(uint64_t len, uint8_t mask_bit, uint8_t *out)
{
    if (len < LEN_16) {
        out[1] = (uint8_t)(mask_bit | len);
        return 2;
    }
    size_t bytes = len < 65536 ? 2 : 8;
    out[1] = (uint8_t)(mask_bit | (bytes == 2 ? LEN_16 : LEN_64));
    for (size_t i = 0; i < bytes; i++)
        out[2 + i] = (uint8_t)(len >> (8 * (bytes - 1 - i)));
    return 2 + bytes;
}

size_t ft_ws_server_header(enum ft_ws_opcode opcode, uint64_t len, uint8_t *out)
{
    out[0] = (uint8_t)(FINAL_BIT | opcode);
    return put_len(len, 0, out);
}

size_t ft_ws_client_header(enum ft_ws_opcode opcode, uint64_t len, const uint8_t mask[4],
                           uint8_t *out)
{
    out[0] = (uint8_t)(FINAL_BIT | opcode);
    size_t size = put_len(len, MASK_BIT, out);
    memcpy(out + size, mask, 4);
    return size + 4;
}

static bool is_known_opcode(uint8_t opcode)
{
    return opcode <= FT_WS_BINARY || (opcode >= FT_WS_CLOSE && opcode <= FT_WS_PONG);
}

static bool is_control(uint8_t opcode)
{
    return opcode >= FT_WS_CLOSE;
}

/* Reads the extended length of 2 or 8 bytes; false when it is not in its shortest form or over 2^63. */
static bool read_long_len(const uint8_t *at, size_t bytes, uint64_t *len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    *len = value;
    return bytes == 2 ? value >= LEN_16 : value >= 65536 && value >> 63 == 0;
}

int ft_ws_header_read(struct ft_slice bytes, struct ft_ws_header *header)
{
    if (bytes.len == 0)
        return 0;
    uint8_t first = bytes.ptr[0];
    uint8_t opcode = first & OPCODE_BITS;
    bool is_final = first & FINAL_BIT;
    if (!is_known_opcode(opcode) || (is_control(opcode) && !is_final))
        return -1;
    if (bytes.len < 2)
        return 0;
    uint8_t short_len = bytes.ptr[1] & LEN_BITS;
    bool is_masked = bytes.ptr[1] & MASK_BIT;
    if (is_control(opcode) && short_len > FT_WS_CONTROL_MAX)
        return -1;

    uint64_t len = short_len;
    size_t size = 2;
    if (short_len >= LEN_16) {
        size_t len_bytes = short_len == LEN_16 ? 2 : 8;
        if (bytes.len < size + len_bytes)
            return 0;
        if (!read_long_len(bytes.ptr + size, len_bytes, &len))
            return -1;
        size += len_bytes;
    }
    if (bytes.len < size + (is_masked ? 4 : 0))
        return 0;

    *header = (struct ft_ws_header){
        .is_final = is_final,
        .is_masked = is_masked,
        .reserved = first & RESERVED_BITS,
        .opcode = opcode,
        .len = len,
        .size = (uint8_t)(size + (is_masked ? 4 : 0)),
    };
    if (is_masked)
        memcpy(header->mask, bytes.ptr + size, 4);
    return 1;
}

/* The mask twice in a row as it lies in memory, turned so that it begins with its byte `offset` & 3. */
static uint64_t wide_mask(const uint8_t mask[4], size_t offset)
{
    uint32_t word;
    memcpy(&word, mask, sizeof(word));
    unsigned turn = 8 * (offset & 3);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = word >> turn | word << (-turn & 31);
#else
    word = word << turn | word >> (-turn & 31);
#endif
    return (uint64_t)word << 32 | word;
}

/* XORs the 0 to 7 bytes that no whole word covers. */
static void mask_rest(uint8_t *bytes, size_t n, uint64_t wide)
{
    uint8_t turned[8];
    memcpy(turned, &wide, sizeof(turned));
    for (size_t i = 0; i < n; i++)
        bytes[i] ^= turned[i];
}

void ft_ws_mask(uint8_t *bytes, size_t n, const uint8_t mask[4], size_t offset)
{
    uint64_t wide = wide_mask(mask, offset);
    size_t at = 0;
    for (; n - at >= 32; at += 32) {
        uint64_t words[4];
        memcpy(words, bytes + at, sizeof(words));
        for (size_t i = 0; i < 4; i++)
            words[i] ^= wide;
        memcpy(bytes + at, words, sizeof(words));
    }
    for (; n - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof(word));
        word ^= wide;
        memcpy(bytes + at, &word, sizeof(word));
    }
    mask_rest(bytes + at, n - at, wide);
}

size_t ft_ws_close_frame(uint16_t code, const char *reason, uint8_t *out)
{
    struct ft_slice text = ft_slice_str(reason ? reason : "");
    text.len = ft_utf8_cut(text, FT_WS_CONTROL_MAX - 2);
    size_t size = ft_ws_server_header(FT_WS_CLOSE, 2 + text.len, out);
    out[size] = (uint8_t)(code >> 8);
    out[size + 1] = (uint8_t)code;
    memcpy(out + size + 2, text.ptr, text.len);
    return size + 2 + text.len;
}

/* RFC 6455 section 7.4 and the codes registered since (1012 to 1014). 1004 is reserved, 1005, 1006
 * and 1015 only name what was never sent. */
static bool may_be_sent(uint16_t code)
{
    if (code >= 3000)
        return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

uint16_t ft_ws_close_read(struct ft_slice payload, uint16_t *code)
{
    if (payload.len == 0) {
        *code = 1005;
        return 0;
    }
    if (payload.len == 1)
        return 1002;
    uint16_t sent = (uint16_t)(payload.ptr[0] << 8 | payload.ptr[1]);
    if (!may_be_sent(sent))
        return 1002;
    if (!ft_utf8_is_valid(ft_slice(payload.ptr + 2, payload.len - 2)))
        return 1007;
    *code = sent;
    return 0;
}
