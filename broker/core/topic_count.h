/*
 * How much is published somewhere, and how often now. Time is cut into windows of a few seconds, of which the
 * present one and the one before are counted:
 *
 *         before         now
 *     ├─────────────┼──────┆──────┤ ▶ time
 *            ├────── W ────┤          rate: all of `now`, and of `before` the share that is not W ago yet,
 *                          ▲          taken as evenly spread
 *
 * Counting one is a handful of additions, whatever the rate; who asks does the dividing. Whoever writes has a lock.
 */
#ifndef FT_CORE_TOPIC_COUNT_H
#define FT_CORE_TOPIC_COUNT_H

#include <stdint.h>

/* Seconds of a window: 2 to the power of this. A rate follows what happens within four to eight seconds. */
#define FT_COUNT_WINDOW_BITS 2
#define FT_COUNT_WINDOW_S    (1u << FT_COUNT_WINDOW_BITS)

/* Zeroed: nothing came. */
struct ft_topic_count {
    uint64_t publications, bytes; /* all of them; their data as it came */
    uint32_t at_s;                /* wall clock: of the latest; the holder's to set */
    uint32_t window_;             /* that `now_` counts */
    uint32_t now_, before_;
};

/* Counts one of so many bytes, at `now_s`, monotonic. One that was taken in a moment earlier than the one
 * before, by another thread, counts with it. */
static inline void ft_topic_count_add(struct ft_topic_count *count, uint32_t bytes, uint32_t now_s)
{
    uint32_t window = now_s >> FT_COUNT_WINDOW_BITS;
    if (window > count->window_) {
        count->before_ = window == count->window_ + 1 ? count->now_ : 0;
        count->now_ = 0;
        count->window_ = window;
    }
    count->now_++;
    count->publications++;
    count->bytes += bytes;
}

/* Returns when the latest came, unix ms, to a second. */
static inline uint64_t ft_topic_count_at_ms(const struct ft_topic_count *count)
{
    return (uint64_t)count->at_s * 1000;
}

/* Returns how many came in a thousand seconds, as of late. `now_ms`: monotonic. */
static inline uint64_t ft_topic_count_rate(const struct ft_topic_count *count, uint64_t now_ms)
{
    const uint64_t window_ms = FT_COUNT_WINDOW_S * 1000;
    uint64_t window = now_ms / window_ms, into_ms = now_ms % window_ms;
    uint64_t now = count->now_, before = count->before_;
    if (window > count->window_) {
        before = window == (uint64_t)count->window_ + 1 ? now : 0;
        now = 0;
    }
    return (now * window_ms + before * (window_ms - into_ms)) * 1000 /
           (window_ms * FT_COUNT_WINDOW_S);
}

#endif
