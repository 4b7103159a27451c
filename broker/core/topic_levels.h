/*
 * The levels below a place in the tree of topics, each with the figures of all topics at it and below, added up:
 * what a tree of a hundred thousand topics is drawn from, of which only what is opened is asked for.
 *
 *     under "a":   a/b       ─┐
 *                  a/b/x     ─┼▶  b   topics 3, and a/b itself is one
 *                  a/b/y/z   ─┘
 *                  a/c/x     ──▶  c   topics 1
 *
 * All topics are looked at, a portion at a time as for a list (topic_list.h), and the first few levels by name are
 * kept. A topic that is forgotten and comes back meanwhile can count twice.
 */
#ifndef FT_CORE_TOPIC_LEVELS_H
#define FT_CORE_TOPIC_LEVELS_H

#include "broker/core/journal.h"
#include "protocol/topic.h"

/* Levels that one answer holds. */
#define FT_LEVELS_LISTED_MAX 1000

struct ft_level_want {
    uint32_t limit; /* 1 … FT_LEVELS_LISTED_MAX */
    struct ft_slice
        under; /* a path; absent: the first levels of all topics; empty: below the empty first level */
    struct ft_slice after; /* levels behind this one, byte by byte; absent: all */
    uint64_t now_ms;       /* monotonic: for rates */
};

struct ft_level_figures {
    uint64_t rate; /* publications in a thousand seconds */
    uint64_t publications, bytes, at_ms;
};

struct ft_level_row {
    struct ft_level_figures all,
        own;                    /* of all topics at it and below; of the topic that it is itself */
    uint32_t topics;            /* at it and below */
    bool is_topic, is_retained; /* there is one at it, and that has a last value */
    uint8_t name_len;
    uint8_t name[FT_TOPIC_BYTES_MAX]; /* of the level */
};

struct ft_topic_levels {
    uint32_t count;
    bool has_more; /* there are levels behind those that are listed */

    struct ft_level_want want_;
    uint8_t under_[FT_TOPIC_BYTES_MAX], after_[FT_TOPIC_BYTES_MAX];
    struct ft_level_row *rows_;
    uint32_t *order_; /* places of rows, by name */
    uint32_t next_id_;
};

/* Begins; `want` is copied. */
void ft_topic_levels_init(struct ft_topic_levels *levels, const struct ft_level_want *want);
void ft_topic_levels_fini(struct ft_topic_levels *levels);

/* Looks at the next portion of topics. Returns false when there are no more. Any thread. */
bool ft_topic_levels_step(struct ft_topic_levels *levels, struct ft_journal *journal);

/* The n-th level by name, of those that were found so far. */
static inline const struct ft_level_row *ft_topic_levels_at(const struct ft_topic_levels *levels,
                                                            uint32_t n)
{
    return &levels->rows_[levels->order_[n]];
}

static inline struct ft_slice ft_level_row_name(const struct ft_level_row *row)
{
    return ft_slice(row->name, row->name_len);
}

#endif
