/*
 * A growing byte buffer with a ceiling, for what is written in pieces: replies, transcoded values.
 * A write that does not fit marks the buffer as failed and is dropped, as is everything after it, so
 * that a caller checks once at the end. Memory that the system refuses aborts (it is bounded by the
 * ceiling, and ours).
 */
#ifndef FT_PROTOCOL_BUFFER_H
#define FT_PROTOCOL_BUFFER_H

#include "protocol/slice.h"

struct ft_buffer {
    uint8_t *ptr;
    size_t len;
    size_t cap_;
    size_t max_;
    bool failed;
};

/* Starts an empty buffer that will hold at most `max` bytes. Allocates nothing yet. */
void ft_buffer_init(struct ft_buffer *buffer, size_t max);

/* Frees the bytes; the buffer can be used again. */
void ft_buffer_fini(struct ft_buffer *buffer);

/* Empties the buffer and clears `failed`; keeps the memory. */
void ft_buffer_clear(struct ft_buffer *buffer);

/* Makes room for `n` more bytes and returns where to write them, or NULL (and `failed`). The caller
 * adds to `len` what it then really wrote. */
uint8_t *ft_buffer_reserve(struct ft_buffer *buffer, size_t n);

static inline void ft_buffer_add(struct ft_buffer *buffer, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    uint8_t *at = n <= buffer->cap_ - buffer->len && !buffer->failed ? buffer->ptr + buffer->len
                                                                     : ft_buffer_reserve(buffer, n);
    if (!at)
        return;
    memcpy(at, bytes, n);
    buffer->len += n;
}

static inline void ft_buffer_add_byte(struct ft_buffer *buffer, uint8_t byte)
{
    ft_buffer_add(buffer, &byte, 1);
}

static inline void ft_buffer_add_str(struct ft_buffer *buffer, const char *text)
{
    ft_buffer_add(buffer, text, strlen(text));
}

/* Lends the content until the next call. */
static inline struct ft_slice ft_buffer_slice(const struct ft_buffer *buffer)
{
    return ft_slice(buffer->ptr, buffer->len);
}

#endif
