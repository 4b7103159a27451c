/*
 * The slow twin of protocol/ws_reader.h: takes a stream of frames that is all there apart, as RFC 6455
 * section 5 has it, one byte at a time. And what both of them say, as text to be compared. A header
 * alone, so that unit tests and fuzz targets can use it.
 *
 *     <t  <b   a message begins, text or binary      =x  a byte of its payload      >  it ends
 *     P p C    a ping, a pong, a close; its bytes follow, and a dot                 !  an error
 */
#ifndef FT_TESTS_WS_TWIN_H
#define FT_TESTS_WS_TWIN_H

#include <stdlib.h>

#include "protocol/buffer.h"
#include "protocol/ws_reader.h"

static inline void ft_ws_twin_payload_(struct ft_buffer *out, struct ft_slice masked,
                                       const uint8_t *mask)
{
    for (size_t i = 0; i < masked.len; i++) {
        ft_buffer_add_byte(out, '=');
        ft_buffer_add_byte(out, mask ? masked.ptr[i] ^ mask[i % 4] : masked.ptr[i]);
    }
}

/* Reads the extended length of a frame; false when it has another form. */
static inline bool ft_ws_twin_length_(const uint8_t *at, size_t digits, uint64_t *length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++)
        value = value * 256 + at[i];
    *length = value;
    return digits == 2 ? value > 125 : value > 65535 && value <= INT64_MAX;
}

/* Says how the stream would be read. `out` has room for twice its bytes and more. */
static inline void ft_ws_twin(struct ft_slice stream, struct ft_buffer *out)
{
    bool is_open = false; /* a message has begun */
    while (stream.len > 0) {
        bool is_final = stream.ptr[0] & 0x80;
        unsigned opcode = stream.ptr[0] & 0x0F;
        bool is_control = opcode == 8 || opcode == 9 || opcode == 10;
        if ((stream.ptr[0] & 0x70) || (opcode > 2 && !is_control) || (is_control && !is_final) ||
            (opcode == 0 && !is_open) || ((opcode == 1 || opcode == 2) && is_open))
            return ft_buffer_add_byte(out, '!');
        if (stream.len < 2)
            return;
        uint64_t length = stream.ptr[1] & 0x7F;
        if (!(stream.ptr[1] & 0x80) || (is_control && length > 125))
            return ft_buffer_add_byte(out, '!');
        size_t digits = length == 126 ? 2 : length == 127 ? 8 : 0;
        if (stream.len < 2 + digits)
            return;
        if (digits > 0 && !ft_ws_twin_length_(stream.ptr + 2, digits, &length))
            return ft_buffer_add_byte(out, '!');
        if (stream.len < 2 + digits + 4)
            return;

        const uint8_t *mask = stream.ptr + 2 + digits;
        size_t there = stream.len - (2 + digits + 4);
        bool is_whole = there >= length;
        if (is_control && !is_whole)
            return;
        if (is_control)
            ft_buffer_add_byte(out, (uint8_t) "CPp"[opcode - 8]);
        else if (opcode != 0)
            ft_buffer_add(out, opcode == 1 ? "<t" : "<b", 2);
        size_t taken = is_whole ? (size_t)length : there;
        ft_ws_twin_payload_(out, ft_slice(mask + 4, taken), mask);
        if (is_control)
            ft_buffer_add_byte(out, '.');
        else if (is_whole && is_final)
            ft_buffer_add_byte(out, '>');
        if (!is_control)
            is_open = !is_final || !is_whole;
        stream = ft_slice(mask + 4 + taken, there - taken);
    }
}

/* Notes what the reader said. */
static inline void ft_ws_note(enum ft_ws_got got, const struct ft_ws_item *item,
                              struct ft_buffer *out)
{
    if (got == FT_WS_GOT_ERROR)
        return ft_buffer_add_byte(out, '!');
    if (got == FT_WS_GOT_PIECE) {
        if (item->is_first)
            ft_buffer_add(out, item->is_text ? "<t" : "<b", 2);
        ft_ws_twin_payload_(out, item->bytes, NULL);
        if (item->is_last)
            ft_buffer_add_byte(out, '>');
        return;
    }
    ft_buffer_add_byte(out, got == FT_WS_GOT_PING ? 'P' : got == FT_WS_GOT_PONG ? 'p' : 'C');
    ft_ws_twin_payload_(out, item->bytes, NULL);
    ft_buffer_add_byte(out, '.');
}

#endif
