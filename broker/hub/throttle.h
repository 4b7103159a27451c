/*
 * `every`: at most one publication of a topic in so many milliseconds, always the newest. One throttle
 * per session and length, for all subscriptions with that length.
 *
 *     deliveries   │A        │A B      │              │B
 *     published    A  a A  B   A b  B                 B
 *                  ├─ every ─┼─ every ─┼─ every ─┤     (open until something comes)
 *
 * What comes while a window runs waits, one for each topic, and is delivered at its end, in the order
 * of offsets; so a client that has seen a position has seen, or was spared, everything before it.
 */
#ifndef FT_HUB_THROTTLE_H
#define FT_HUB_THROTTLE_H

#include "broker/core/conflation.h"
#include "broker/hub/session.h"

/* Windows end on ticks of this length; they last a tick longer at most. */
#define FT_QUICK_TICK_MS 10

/* Longest `every`. */
#define FT_EVERY_MS_MAX 3600000

struct ft_throttle {
    struct ft_session *session;
    struct ft_throttle *next; /* of the session */
    uint32_t every_ms;
    uint32_t users;      /* subscriptions */
    uint64_t open_at_ms; /* monotonic: when the running window ends */
    struct ft_conflation waiting;
    struct ft_wheel_timer timer; /* in worker->quick; set while something waits */
};

/* Returns the session's throttle of this length, made on need, for one subscription more. */
struct ft_throttle *ft_throttle_use(struct ft_session *session, uint32_t every_ms);

/* Gives it back; NULL is allowed. What waits was delivered before (ft_throttles_flush). */
void ft_throttle_release(struct ft_throttle *throttle);

/* Takes a publication of `bytes`, to be delivered now or at the end of the window. */
void ft_throttle_offer(struct ft_throttle *throttle, const struct ft_publication *publication,
                       size_t bytes);

/* Delivers at once all that waits for this session, before a topic may begin to come another way: its
 * subscriptions change, it is parked, or it is live again. An older publication could come after a newer
 * one otherwise. */
void ft_throttles_flush(struct ft_session *session);

/* The same for one topic, which is about to come directly, or by the throttle `other`. */
void ft_throttles_flush_topic(struct ft_session *session, uint64_t topic_hash,
                              const struct ft_throttle *other);

/* Its window has ended. */
void ft_throttle_timer(struct ft_wheel_timer *timer);

#endif
