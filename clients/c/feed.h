/*
 * How far subscriptions have come that go on together: the positions up to which each of them has
 * got everything, and from which a resume goes on for all of them.
 *
 *     feed ───▶ at: node-1.70 ──────────▶ deliveries raise it; `since` when the connection is back
 *      ▲ ▲
 *      │ └── subscription a/#
 *      └──── subscription b      start: node-1.80, has got what is up to there from an older feed
 *
 * Where the broker holds publications back (`every`), they come out of their order, so a position
 * counts only once everything up to it must have come: `at` follows behind by that time.
 */
#ifndef FT_CLIENT_FEED_H
#define FT_CLIENT_FEED_H

#include "clients/c/positions.h"

/* How late the broker's timer and its wire may be for what it has held back. */
#define FT_FEED_SLACK_MS 1000

struct ft_feed {
    unsigned refs_;
    uint32_t every_ms; /* 0: nothing is held back */
    bool is_rewinding; /* older ones come first: `last` was asked for on this connection */
    struct ft_positions at;

    /* every_ms > 0: what was reached at two times, the earlier of which is to become `at` */
    struct ft_positions recent_, newest_;
    uint64_t recent_at_ms_, recent_came_ms_;
};

/* Returns a feed at `at` (NULL: nowhere yet) that the caller owns a share of. */
struct ft_feed *ft_feed_new(uint32_t every_ms, const struct ft_positions *at);

/* Shares a feed; gives a share back (NULL is allowed). The last one frees it. */
struct ft_feed *ft_feed_ref(struct ft_feed *feed);
void ft_feed_unref(struct ft_feed *feed);

/* Something came: with this position, accepted at `at_ms` by the broker's clock, now by ours. */
void ft_feed_advance(struct ft_feed *feed, const struct ft_pos *pos, uint64_t at_ms,
                     uint64_t now_ms);

/* The feed is to begin at `at`, whatever was before. */
void ft_feed_restart(struct ft_feed *feed, const struct ft_positions *at);

/* The connection broke: what came after `at` will come again. */
void ft_feed_break(struct ft_feed *feed);

#endif
