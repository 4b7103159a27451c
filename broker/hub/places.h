/* Which partitions a session hears from: what it has to be told positions of. On a node of its own there is one
 * stream, and it is everybody's. */
#ifndef FT_HUB_PLACES_H
#define FT_HUB_PLACES_H

#include "broker/core/streams.h"
#include "broker/hub/session.h"

struct ft_starts;

/* Returns whether a subscription can hear from that partition. */
bool ft_subscription_touches(const struct ft_subscription *subscription, uint32_t partition);

/* Fills `places` (room for FT_PARTITIONS_MAX) with where those streams stood at a journal offset that the
 * session's subscriptions touch; returns how many. */
uint32_t ft_session_places(const struct ft_session *session, uint64_t at, struct ft_place *places);

/* Moves `n` places of journal offset `at` on to where the streams begin for who resumed, where that is later. An
 * event stream goes on from the last id, not from the greatest, and another node had them in another order. */
void ft_places_since(struct ft_journal *journal, const struct ft_starts *starts, uint64_t at,
                     struct ft_place *places, uint32_t n);

#endif
