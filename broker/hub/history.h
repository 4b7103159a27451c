/* A topic's past, for whoever asks: a session's `history`, an HTTP request. */
#ifndef FT_HUB_HISTORY_H
#define FT_HUB_HISTORY_H

#include "broker/hub/asker.h"
#include "protocol/writer.h"

struct ft_history;

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
