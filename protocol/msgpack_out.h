/* msgpack-c's packer on top of a buffer: every value in its smallest form. */
#ifndef FT_PROTOCOL_MSGPACK_OUT_H
#define FT_PROTOCOL_MSGPACK_OUT_H

#include <msgpack.h>

#include "protocol/buffer.h"

/* The packer's way out. Always 0: the buffer itself remembers that something did not fit. */
static inline int ft_msgpack_out_write_(void *buffer, const char *bytes, size_t n)
{
    ft_buffer_add(buffer, bytes, n);
    return 0;
}

/* Returns a packer that appends to `out`. It owns nothing and needs no end. */
static inline msgpack_packer ft_msgpack_out(struct ft_buffer *out)
{
    return (msgpack_packer){.data = out, .callback = ft_msgpack_out_write_};
}

static inline void ft_msgpack_out_str(struct ft_buffer *out, struct ft_slice text)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_str_with_body(&packer, text.ptr, text.len);
}

/* Nil where it is absent. */
static inline void ft_msgpack_out_text(struct ft_buffer *out, struct ft_slice text)
{
    msgpack_packer packer = ft_msgpack_out(out);
    if (text.ptr)
        ft_msgpack_out_str(out, text);
    else
        msgpack_pack_nil(&packer);
}

static inline void ft_msgpack_out_bin(struct ft_buffer *out, struct ft_slice bytes)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_bin_with_body(&packer, bytes.ptr, bytes.len);
}

#endif
