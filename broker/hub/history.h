/* A topic's past, for whoever asks: a session's `history`, an HTTP request. */
#ifndef FT_HUB_HISTORY_H
#define FT_HUB_HISTORY_H

#include "broker/core/partitions.h"
#include "broker/hub/asker.h"
#include "protocol/writer.h"

struct ft_history;

/* Checks that `topic` is there and valid, and that its history may be seen. */
FT_MUST_USE enum ft_err ft_history_check(const struct ft_asker *asker,
                                         const struct ft_envelope *envelope,
                                         struct ft_problem *problem);

/* Sets `*missing` to the topic's partition, where the node has not joined it and so knows nothing of its past, and
 * says so: then the answer should wait (join_wait.h). The envelope is checked. */
bool ft_history_is_missing(const struct ft_asker *asker, const struct ft_envelope *envelope,
                           struct ft_partition_set *missing);

/*
 * Looks up what a `history` envelope asks for: its topic, and `last`, or `since` and `limit`. Settles the
 * worker first, so that what the asker has just published is in it. With `history` NULL it only checks.
 */
FT_MUST_USE enum ft_err ft_history_find(const struct ft_asker *asker,
                                        const struct ft_envelope *envelope,
                                        enum ft_encoding encoding, struct ft_history **history,
                                        struct ft_problem *problem);
void ft_history_free(struct ft_history *history);

/* Writes what was found, as so many pairs of a map. */
uint32_t ft_history_pairs(const struct ft_history *history);
void ft_history_write(const struct ft_history *history, struct ft_writer *writer);

#endif
