/* Publishing, from a read envelope to the worker's batch: the one way for every asker. */
#ifndef FT_HUB_PUBLISH_H
#define FT_HUB_PUBLISH_H

#include "broker/hub/asker.h"

/*
 * Checks a `pub` envelope (rates, topic, permission, data, ttl, key; SPEC.md sections 3, 4, 8), applies its
 * topic's policy, and hands it to the batch. With an `id` the asker's `published` follows, exactly once,
 * unless ft_worker_forget_pending() comes before; without one, only where Redis numbers it. On an error `problem`
 * is filled and nothing was done.
 */
FT_MUST_USE enum ft_err ft_publish(struct ft_asker *asker, const struct ft_envelope *envelope,
                                   struct ft_problem *problem);

/* The part of it that needs no data: the topic is valid, not the broker's, and permitted. */
FT_MUST_USE enum ft_err ft_publish_check_topic(const struct ft_asker *asker, struct ft_slice topic,
                                               struct ft_problem *problem);

#endif
