/*
 * The progress of subscriptions that go on together. Does not know who they are. Pure; the client's
 * thread.
 */
#include "clients/c/feed.h"

#include <stdlib.h>

#include "broker/base/alloc.h"

struct ft_feed *ft_feed_new(uint32_t every_ms, const struct ft_positions *at)
{
    struct ft_feed *feed = ft_alloc_zero(sizeof(*feed));
    feed->refs_ = 1;
    feed->every_ms = every_ms;
    if (at)
        ft_positions_raise_all(&feed->at, at);
    return feed;
}

struct ft_feed *ft_feed_ref(struct ft_feed *feed)
{
    feed->refs_++;
    return feed;
}

void ft_feed_unref(struct ft_feed *feed)
{
    if (!feed || --feed->refs_ > 0)
        return;
    ft_positions_fini(&feed->at);
    ft_positions_fini(&feed->recent_);
    ft_positions_fini(&feed->newest_);
    free(feed);
}

/* Begins to wait until everything up to the newest must have come. */
static void take_newest(struct ft_feed *feed, uint64_t at_ms, uint64_t now_ms)
{
    ft_positions_raise_all(&feed->recent_, &feed->newest_);
    feed->recent_at_ms_ = at_ms;
    feed->recent_came_ms_ = now_ms;
}

void ft_feed_advance(struct ft_feed *feed, const struct ft_pos *pos, uint64_t at_ms,
                     uint64_t now_ms)
{
    if (feed->every_ms == 0) {
        ft_positions_raise(&feed->at, pos);
        return;
    }
    uint64_t hold_ms = (uint64_t)feed->every_ms + FT_FEED_SLACK_MS;
    ft_positions_raise(&feed->newest_, pos);
    if (feed->recent_.count == 0) {
        take_newest(feed, at_ms, now_ms);
    } else if (at_ms >= feed->recent_at_ms_ + hold_ms &&
               now_ms >= feed->recent_came_ms_ + hold_ms) {
        /* The broker's clock says that what is recent was due before this one was accepted, ours that
           it was not all sent at once, out of the journal. */
        ft_positions_raise_all(&feed->at, &feed->recent_);
        take_newest(feed, at_ms, now_ms);
    }
}

void ft_feed_restart(struct ft_feed *feed, const struct ft_positions *at)
{
    ft_feed_break(feed);
    ft_positions_clear(&feed->at);
    ft_positions_raise_all(&feed->at, at);
}

void ft_feed_break(struct ft_feed *feed)
{
    feed->is_rewinding = false;
    ft_positions_clear(&feed->recent_);
    ft_positions_clear(&feed->newest_);
}
