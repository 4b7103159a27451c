/*
 * The frames of a WebSocket client, from bytes as they come. A small frame that is whole, which is nearly
 * every one, is taken in one step; all others go through their header once and then through as much of
 * their payload as there is. What breaks the rules is told by the first byte that does, and changes
 * nothing: asked again, the reader gives the same answer. Pure; any thread, one at a time.
 */
#include "protocol/ws_reader.h"

#include "protocol/ws_frame.h"

enum {
    FINAL_BIT = 0x80,
    RESERVED_BITS = 0x70,
    OPCODE_BITS = 0x0F,
    MASK_BIT = 0x80,
    LEN_BITS = 0x7F,
    SMALL_HEADER = 6 /* with a length that fits in its second byte */
};

/* Takes `n` bytes of payload, unmasked. */
static struct ft_slice take(const struct ft_ws_reader *reader, uint8_t **bytes, size_t *len,
                            size_t n)
{
    struct ft_slice payload = ft_slice(*bytes, n);
    ft_ws_mask(*bytes, n, reader->mask_, reader->phase_);
    *bytes += n;
    *len -= n;
    return payload;
}

/* Takes what is there of the payload of the frame that has begun. */
static enum ft_ws_got take_piece(struct ft_ws_reader *reader, uint8_t **bytes, size_t *len,
                                 struct ft_ws_item *item)
{
    size_t n = reader->left_ < *len ? (size_t)reader->left_ : *len;
    item->bytes = take(reader, bytes, len, n);
    reader->left_ -= n;
    reader->phase_ = (uint8_t)((reader->phase_ + n) & 3);
    item->to_come = reader->left_;
    item->is_text = reader->is_text_;
    item->is_last = reader->left_ == 0 && reader->is_final_;
    reader->in_message_ = !item->is_last;
    return FT_WS_GOT_PIECE;
}

/* Says whether a frame may begin so, as far as it is there: without reserved bits, with a mask, and the
 * fragments of one message in a row. Lengths are the header's own. */
static bool may_begin(const struct ft_ws_reader *reader, const uint8_t *bytes, size_t len)
{
    uint8_t opcode = bytes[0] & OPCODE_BITS;
    if (bytes[0] & RESERVED_BITS)
        return false;
    if (opcode < FT_WS_CLOSE && reader->in_message_ != (opcode == FT_WS_CONTINUATION))
        return false;
    return len < 2 || bytes[1] & MASK_BIT;
}

static enum ft_ws_got control_of(uint8_t opcode)
{
    if (opcode == FT_WS_CLOSE)
        return FT_WS_GOT_CLOSE;
    return opcode == FT_WS_PING ? FT_WS_GOT_PING : FT_WS_GOT_PONG;
}

/* Control frames come between the fragments of a message, never inside a frame; they are taken whole. */
static enum ft_ws_got take_control(const struct ft_ws_header *header, uint8_t **bytes, size_t *len,
                                   struct ft_ws_item *item)
{
    size_t size = header->size + (size_t)header->len;
    if (*len < size)
        return FT_WS_GOT_NOTHING;
    uint8_t *payload = *bytes + header->size;
    ft_ws_mask(payload, (size_t)header->len, header->mask, 0);
    item->bytes = ft_slice(payload, (size_t)header->len);
    *bytes += size;
    *len -= size;
    return control_of(header->opcode);
}

static enum ft_ws_got take_frame(struct ft_ws_reader *reader, uint8_t **bytes, size_t *len,
                                 struct ft_ws_item *item)
{
    if (!may_begin(reader, *bytes, *len))
        return FT_WS_GOT_ERROR;
    struct ft_ws_header header;
    int verdict = ft_ws_header_read(ft_slice(*bytes, *len), &header);
    if (verdict != 1)
        return verdict == 0 ? FT_WS_GOT_NOTHING : FT_WS_GOT_ERROR;
    if (header.opcode >= FT_WS_CLOSE)
        return take_control(&header, bytes, len, item);

    item->is_first = header.opcode != FT_WS_CONTINUATION;
    if (item->is_first)
        reader->is_text_ = header.opcode == FT_WS_TEXT;
    reader->is_final_ = header.is_final;
    reader->left_ = header.len;
    reader->phase_ = 0;
    memcpy(reader->mask_, header.mask, sizeof(reader->mask_));
    *bytes += header.size;
    *len -= header.size;
    return take_piece(reader, bytes, len, item);
}

/* Says whether the bytes begin with a message in one frame of at most 125 bytes, all there. */
static bool is_small_message(const uint8_t *bytes, size_t len)
{
    return len >= SMALL_HEADER &&
           (bytes[0] == (FINAL_BIT | FT_WS_TEXT) || bytes[0] == (FINAL_BIT | FT_WS_BINARY)) &&
           bytes[1] >= MASK_BIT && (bytes[1] & LEN_BITS) <= FT_WS_CONTROL_MAX &&
           len - SMALL_HEADER >= (size_t)(bytes[1] & LEN_BITS);
}

enum ft_ws_got ft_ws_read(struct ft_ws_reader *reader, uint8_t **bytes, size_t *len,
                          struct ft_ws_item *item)
{
    if (*len == 0)
        return FT_WS_GOT_NOTHING;
    if (reader->left_ > 0) {
        item->is_first = false;
        return take_piece(reader, bytes, len, item);
    }
    uint8_t *frame = *bytes;
    if (reader->in_message_ || !is_small_message(frame, *len))
        return take_frame(reader, bytes, len, item);

    size_t n = frame[1] & LEN_BITS;
    ft_ws_mask(frame + SMALL_HEADER, n, frame + 2, 0);
    *item = (struct ft_ws_item){
        .bytes = ft_slice(frame + SMALL_HEADER, n),
        .is_text = frame[0] == (FINAL_BIT | FT_WS_TEXT),
        .is_first = true,
        .is_last = true,
    };
    *bytes += SMALL_HEADER + n;
    *len -= SMALL_HEADER + n;
    return FT_WS_GOT_PIECE;
}
