/*
 * Allocation for what we size ourselves: never returns NULL, aborts with a line on stderr instead.
 * Sizes that a peer chose are bounded before they come here.
 */
#ifndef FT_BASE_ALLOC_H
#define FT_BASE_ALLOC_H

#include <stddef.h>

void *ft_alloc(size_t n) __attribute__((malloc, returns_nonnull));
void *ft_alloc_zero(size_t n) __attribute__((malloc, returns_nonnull));
void *ft_realloc(void *ptr, size_t n) __attribute__((returns_nonnull));

/* `n` bytes that begin at a multiple of `alignment` (a power of two); free() frees them. */
void *ft_alloc_aligned(size_t alignment, size_t n) __attribute__((malloc, returns_nonnull));

char *ft_strdup(const char *text) __attribute__((malloc, returns_nonnull));

/* States what we guarantee; stays on in release builds. Never for what a peer sent. */
#define FT_ASSERT(fact)                                  \
    do {                                                 \
        if (__builtin_expect(!(fact), 0))                \
            ft_assert_failed(#fact, __FILE__, __LINE__); \
    } while (0)

void ft_assert_failed(const char *fact, const char *file, int line) __attribute__((noreturn, cold));

#endif
