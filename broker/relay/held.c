/*
 * Messages that wait: one buffer, which is empty most of the time and gives its memory back then.
 */
#include "broker/relay/held.h"

void ft_held_init(struct ft_held *held)
{
    ft_buffer_init(&held->bytes_, FT_HELD_BYTES);
    held->at_ = 0;
}

void ft_held_fini(struct ft_held *held)
{
    ft_buffer_fini(&held->bytes_);
}

void ft_held_clear(struct ft_held *held)
{
    ft_buffer_fini(&held->bytes_);
    held->at_ = 0;
}

bool ft_held_push(struct ft_held *held, struct ft_slice message)
{
    uint32_t len = (uint32_t)message.len;
    if (message.len > FT_HELD_BYTES || sizeof(len) + message.len > FT_HELD_BYTES - held->bytes_.len)
        return false;
    ft_buffer_add(&held->bytes_, &len, sizeof(len));
    ft_buffer_add(&held->bytes_, message.ptr, message.len);
    return true;
}

bool ft_held_pop(struct ft_held *held, struct ft_slice *message)
{
    if (held->at_ == held->bytes_.len) {
        if (held->at_ != 0)
            ft_held_clear(held);
        return false;
    }
    uint32_t len;
    memcpy(&len, held->bytes_.ptr + held->at_, sizeof(len));
    *message = ft_slice(held->bytes_.ptr + held->at_ + sizeof(len), len);
    held->at_ += sizeof(len) + len;
    return true;
}
