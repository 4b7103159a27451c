/* Which partitions a session hears from: what it has to be told positions of. On a node of its own there is one
 * stream, and it is everybody's. */
#ifndef FT_HUB_PLACES_H
#define FT_HUB_PLACES_H

#include "broker/core/streams.h"
#include "broker/hub/session.h"

/* Returns whether a subscription can hear from that partition. */
bool ft_subscription_touches(const struct ft_subscription *subscription, uint32_t partition);

/* Fills `places` (room for FT_PARTITIONS_MAX) with where those streams stood at a journal offset that the
 * session's subscriptions touch; returns how many. */
uint32_t ft_session_places(const struct ft_session *session, uint64_t at, struct ft_place *places);

#endif
