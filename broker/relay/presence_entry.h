/*
 * How presence lies in Redis, P being the prefix of keys and k a topic's partition:
 *
 *     P:{k}:here:<topic>   sorted set: member [session, instance, user] in MessagePack, score `since` in ms
 *     P:here:<instance>    set of "<k> <topic>\0<member>": all clients of a node on this server
 *     P:here               hash: instance -> name of its node, so that a dead one's are found (reap.lua)
 *
 * What is read is foreign: whoever reaches Redis can put anything there. Pure.
 */
#ifndef FT_RELAY_PRESENCE_ENTRY_H
#define FT_RELAY_PRESENCE_ENTRY_H

#include "broker/core/presence.h"
#include "broker/core/relay_message.h"

/* Longest member, and longest entry of an index. */
#define FT_MEMBER_MAX \
    (1 + 2 + FT_PRESENT_SESSION_LEN + 2 + FT_INSTANCE_LEN + 2 + FT_PRESENT_USER_MAX)
#define FT_ENTRY_MAX (4 + 1 + FT_TOPIC_BYTES_MAX + 1 + FT_MEMBER_MAX)

/* Adds the member of a client of `instance`. */
void ft_member_write(const struct ft_present *who, const char *instance, struct ft_buffer *out);

/* Reads one; `since_ms` is not in it and becomes 0. It is lent as `member` is. False: it is not one. */
FT_MUST_USE bool ft_member_read(struct ft_slice member, struct ft_present *who);

/* Adds an entry of an index; or takes one apart, which is lent. False: it is not one. */
void ft_entry_write(uint32_t partition, struct ft_slice topic, const struct ft_present *who,
                    const char *instance, struct ft_buffer *out);
FT_MUST_USE bool ft_entry_read(struct ft_slice entry, struct ft_slice *topic,
                               struct ft_present *who);

#endif
