/*
 * What nodes say to each other about orders of an operator (hub/control.h), and about who is connected
 * (hub/session_info.h), in MessagePack:
 *
 *     [version, "order", id, instance, order, …]                     on the channel of all nodes
 *     [version, "done", id, instance, sessions, subscriptions, …]    on that of the node that gave it
 *
 *     [version, "who", id, instance, query, …]                       on the channel of all nodes
 *     [version, "these", id, instance, total, [session, …], …]       on that of the node that asked
 *
 * `instance` is of the node that says it, `id` the asker's. Elements that this version does not know are
 * skipped. What is read is foreign. Pure.
 */
#ifndef FT_RELAY_ASK_MESSAGE_H
#define FT_RELAY_ASK_MESSAGE_H

#include "broker/core/relay_message.h"
#include "broker/hub/control.h"
#include "broker/hub/session_info.h"

/* Longest message: an order and what is around it. */
#define FT_ASK_MESSAGE_MAX (FT_ORDER_BYTES_MAX + 1024)

enum ft_ask_word { FT_ASK_WORD_ORDER, FT_ASK_WORD_DONE, FT_ASK_WORD_WHO, FT_ASK_WORD_THESE };

struct ft_ask_message {
    enum ft_ask_word word;
    uint64_t id;
    struct ft_slice instance;         /* FT_INSTANCE_LEN letters and digits */
    struct ft_slice body;             /* one value: for ft_order_read(), ft_session_query_read(),
                               * ft_session_infos_are_sound(); of DONE none */
    uint64_t sessions, subscriptions; /* of DONE; of THESE `sessions` is their total */
};

/* Says whether it asks all nodes; else it answers one. */
static inline bool ft_ask_message_asks(const struct ft_ask_message *message)
{
    return message->word == FT_ASK_WORD_ORDER || message->word == FT_ASK_WORD_WHO;
}

/* Writes a message. Its body goes in as it is. */
void ft_ask_message_write(const struct ft_ask_message *message, struct ft_buffer *out);

/* Reads one, whole; all of it points into `bytes`. */
enum ft_relay_fault ft_ask_message_read(struct ft_slice bytes, struct ft_ask_message *message);

#endif
