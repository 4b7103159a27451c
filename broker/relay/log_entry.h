/* Entries of a log, as XRANGE and XREVRANGE answer them. */
#ifndef FT_RELAY_LOG_ENTRY_H
#define FT_RELAY_LOG_ENTRY_H

#include "broker/relay/follower.h"

struct redisReply;

/* Reads [id, [field, message, …]]; what it lends is the reply's. False: it is nothing like that. An entry whose
 * message cannot be found has an empty one. */
bool ft_log_entry_read(const struct redisReply *reply, struct ft_log_entry *entry);

#endif
