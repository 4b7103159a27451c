/*
 * Allocation that does not fail: out of memory ends the process with one line, because nobody could
 * do anything sensible with a NULL for something that we sized ourselves. Any thread.
 */
#include "broker/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/log.h"

static void give_up(size_t n) __attribute__((noreturn, cold));

static void give_up(size_t n)
{
    ft_log(FT_LOG_ERROR, "out_of_memory", "bytes=%zu", n);
    abort();
}

void *ft_alloc(size_t n)
{
    void *ptr = malloc(n ? n : 1);
    if (!ptr)
        give_up(n);
    return ptr;
}

void *ft_alloc_zero(size_t n)
{
    void *ptr = calloc(1, n ? n : 1);
    if (!ptr)
        give_up(n);
    return ptr;
}

void *ft_realloc(void *ptr, size_t n)
{
    void *grown = realloc(ptr, n ? n : 1);
    if (!grown)
        give_up(n);
    return grown;
}

void *ft_alloc_aligned(size_t alignment, size_t n)
{
    void *ptr = NULL;
    if (posix_memalign(&ptr, alignment, n ? n : 1) != 0)
        give_up(n);
    return ptr;
}

char *ft_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    return memcpy(ft_alloc(n), text, n);
}

void ft_assert_failed(const char *fact, const char *file, int line)
{
    char shown[128];
    ft_log(FT_LOG_ERROR, "assertion_failed", "fact=%s at=%s:%d",
           ft_log_value(fact, shown, sizeof(shown)), file, line);
    abort();
}
