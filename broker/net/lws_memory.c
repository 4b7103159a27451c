/*
 * libwebsockets' allocator: its own has a process-wide counter that several contexts would race on.
 */
#include "broker/net/private.h"

#include <stdlib.h>

static void *reallocate(void *ptr, size_t size, const char *reason)
{
    (void)reason;
    if (size > 0)
        return realloc(ptr, size);
    free(ptr);
    return NULL;
}

void ft_lws_memory_install(void)
{
    lws_set_allocator(reallocate);
}
