/* Which partitions a session hears from: what it has to be told positions of. On a node of its own there is one
 * stream, and it is everybody's. */
#ifndef FT_HUB_PLACES_H
#define FT_HUB_PLACES_H

#include "broker/core/streams.h"
#include "broker/hub/session.h"

/* Returns whether a subscription can hear from that partition. */
bool ft_subscription_touches(const struct ft_subscription *subscription, uint32_t partition);

/*
 * Fills `places` (room for FT_PARTITIONS_MAX) with where a session is, in the streams of `set` (NULL: all), when
 * it is through with everything up to a journal offset: where they stood there, or further, where it knew more
 * when it came. Returns how many.
 */
uint32_t ft_session_places(const struct ft_session *session, const struct ft_partition_set *set,
                           uint64_t at, struct ft_place *places);

/* The same for the streams that its subscriptions touch. */
uint32_t ft_session_touched_places(const struct ft_session *session, uint64_t at,
                                   struct ft_place *places);

/* Where the client of a session with a feed is further than the feed: by name, what it knew of each stream. */
struct ft_floor {
    uint32_t count;
    struct ft_place places[];
};

/* Makes one of these, but for streams that were opened later. */
struct ft_floor *ft_floor_new(const struct ft_place *places, uint32_t n);

#endif
