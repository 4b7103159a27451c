/*
 * The growing buffer: doubles up to its ceiling, fails softly past it. Not shared between threads.
 */
#include "protocol/buffer.h"

#include <stdlib.h>

/* The first allocation: a reply with an id and a position fits, so most buffers never grow. */
#define FIRST_CAP 256

void ft_buffer_init(struct ft_buffer *buffer, size_t max)
{
    *buffer = (struct ft_buffer){.max_ = max};
}

void ft_buffer_fini(struct ft_buffer *buffer)
{
    free(buffer->ptr);
    ft_buffer_init(buffer, buffer->max_);
}

void ft_buffer_clear(struct ft_buffer *buffer)
{
    buffer->len = 0;
    buffer->failed = false;
}

/* Grows to hold `need` bytes, which the ceiling allows. */
static void grow(struct ft_buffer *buffer, size_t need)
{
    size_t cap = buffer->cap_ ? buffer->cap_ : FIRST_CAP;
    while (cap < need)
        cap = cap > buffer->max_ / 2 ? buffer->max_ : cap * 2;
    if (cap > buffer->max_)
        cap = buffer->max_;
    /* One byte at least, so that an empty reservation is a place and not NULL. */
    uint8_t *ptr = realloc(buffer->ptr, cap ? cap : 1);
    if (!ptr)
        abort();
    buffer->ptr = ptr;
    buffer->cap_ = cap;
}

uint8_t *ft_buffer_reserve(struct ft_buffer *buffer, size_t n)
{
    if (buffer->failed || n > buffer->max_ - buffer->len) {
        buffer->failed = true;
        return NULL;
    }
    if (n > buffer->cap_ - buffer->len || !buffer->ptr)
        grow(buffer, buffer->len + n);
    return buffer->ptr + buffer->len;
}
