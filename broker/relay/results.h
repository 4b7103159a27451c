/* Answers of the publish script. */
#ifndef FT_RELAY_RESULTS_H
#define FT_RELAY_RESULTS_H

#include "broker/hub/relay.h"

struct redisReply;

/* Fills in the results of a batch, and its head, from {name, ms, born, base, r, …}; element 0 is a name then, where
 * anything was published. False: the answer makes no sense. */
bool ft_results_read(struct ft_relay_batch *batch, const struct redisReply *reply);

#endif
