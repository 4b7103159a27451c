/*
 * What nodes say to each other about orders of an operator (hub/control.h), in MessagePack:
 *
 *     [version, "order", id, instance, order, …]                     on the channel of all nodes
 *     [version, "done", id, instance, sessions, subscriptions, …]    on that of the node that gave it
 *
 * `instance` is of the node that says it, `id` the asker's. Elements that this version does not know are
 * skipped. What is read is foreign. Pure.
 */
#ifndef FT_RELAY_ASK_MESSAGE_H
#define FT_RELAY_ASK_MESSAGE_H

#include "broker/core/relay_message.h"
#include "broker/hub/control.h"

/* Longest message: an order and what is around it. */
#define FT_ASK_MESSAGE_MAX (FT_ORDER_BYTES_MAX + 1024)

struct ft_ask_message {
    bool is_order; /* else it is an answer */
    uint64_t id;
    struct ft_slice instance; /* FT_INSTANCE_LEN letters and digits */
    struct ft_slice order;    /* one value: for ft_order_read() */
    uint64_t sessions, subscriptions;
};

void ft_ask_order_write(uint64_t id, struct ft_slice instance, struct ft_slice order,
                        struct ft_buffer *out);
void ft_ask_done_write(uint64_t id, struct ft_slice instance,
                       const struct ft_order_outcome *outcome, struct ft_buffer *out);

/* Reads either, whole; all of it points into `bytes`. */
enum ft_relay_fault ft_ask_message_read(struct ft_slice bytes, struct ft_ask_message *message);

#endif
