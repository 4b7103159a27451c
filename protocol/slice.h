/*
 * Borrowed bytes: a pointer and a length, owned by somebody else. A slice does not outlive the call
 * that it was given to unless that header says so. A slice whose `ptr` is NULL is absent, which is
 * not the same as empty.
 */
#ifndef FT_PROTOCOL_SLICE_H
#define FT_PROTOCOL_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ft_slice {
    const uint8_t *ptr;
    size_t len;
};

static inline struct ft_slice ft_slice(const void *ptr, size_t len)
{
    return (struct ft_slice){.ptr = ptr, .len = len};
}

/* The bytes of a C string, without its NUL. */
static inline struct ft_slice ft_slice_str(const char *text)
{
    return (struct ft_slice){.ptr = (const uint8_t *)text, .len = strlen(text)};
}

static inline bool ft_slice_equal(struct ft_slice a, struct ft_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Copies the bytes to `*at`, which moves behind them, and returns the copy; what is absent stays absent. */
static inline struct ft_slice ft_slice_copy(struct ft_slice text, uint8_t **at)
{
    if (!text.ptr)
        return text;
    struct ft_slice copied = ft_slice(*at, text.len);
    if (text.len > 0)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copied;
}

#endif
