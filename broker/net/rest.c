/* Bytes that a connection keeps for later. Nothing is taken while there are none. */
#include "broker/base/alloc.h"
#include "broker/net/private.h"

#include <stdlib.h>

void ft_rest_add(struct ft_rest *rest, struct ft_slice bytes)
{
    uint32_t left = rest->len - rest->at;
    uint8_t *all = ft_alloc(left + bytes.len);
    if (left > 0)
        memcpy(all, rest->bytes + rest->at, left);
    if (bytes.len > 0)
        memcpy(all + left, bytes.ptr, bytes.len);
    free(rest->bytes);
    *rest = (struct ft_rest){.bytes = all, .len = left + (uint32_t)bytes.len};
}

void ft_rest_clear(struct ft_rest *rest)
{
    free(rest->bytes);
    *rest = (struct ft_rest){0};
}
