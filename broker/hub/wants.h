/*
 * What one worker wants to hear: its filters, counted by the partition that they touch. The first one of a
 * partition makes the worker one of those that want it (interest.h), the last one ends that.
 *
 *     all ──▶ filters whose hashed levels hold a wildcard: one counter, whatever the number of partitions
 *     [0] [1] [2] … ──▶ the others, each by its one partition
 *
 * There is one where the node is one of several, and none (NULL) where it is on its own. The worker's thread.
 */
#ifndef FT_HUB_WANTS_H
#define FT_HUB_WANTS_H

#include "broker/hub/interest.h"

struct ft_wants;

/* Makes one; `interest` outlives it. */
struct ft_wants *ft_wants_new(struct ft_interest *interest);
void ft_wants_free(struct ft_wants *wants); /* nothing is counted any more */

/* Counts a filter, or takes it off; returns true where nobody on the node wanted such a partition before: the
 * relay has to be told (ft_relay_ops.interest). */
bool ft_wants_add(struct ft_wants *wants, struct ft_slice filter);
void ft_wants_remove(struct ft_wants *wants, struct ft_slice filter);

/* The same for a set of partitions, for somebody who is about to subscribe. */
bool ft_wants_add_set(struct ft_wants *wants, const struct ft_partition_set *set);
void ft_wants_remove_set(struct ft_wants *wants, const struct ft_partition_set *set);

#endif
