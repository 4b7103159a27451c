/*
 * A list of topics that a journal remembers: of those that a filter matches the few that are published to most
 * often, or the first by name behind a given one. All topics are looked at, a portion at a time, so that the
 * journal's lock is never held for long; what is found is kept in a heap of as many as are asked for, the worst
 * on top. Topics that come and go meanwhile may be in it or not.
 */
#ifndef FT_CORE_TOPIC_LIST_H
#define FT_CORE_TOPIC_LIST_H

#include "broker/core/journal.h"
#include "protocol/topic.h"

/* Topics that one list holds. */
#define FT_TOPIC_LIST_MAX 1000

/* Topics that are looked at under one lock: some 20 us, and twice as long with a filter of many levels. */
#define FT_TOPIC_LIST_STEP 256

enum ft_topic_order {
    FT_TOPICS_BY_RATE, /* the most often published first; where that is the same, by name */
    FT_TOPICS_BY_NAME  /* byte by byte */
};

struct ft_topic_want {
    enum ft_topic_order order;
    uint32_t limit;           /* 1 … FT_TOPIC_LIST_MAX */
    struct ft_slice filter;   /* valid, or absent: all topics */
    struct ft_slice contains; /* text of the name, in any case of ASCII letters; absent: all */
    struct ft_slice after;    /* by name: those behind this one; absent: all */
    uint64_t now_ms;          /* monotonic: for rates */
};

/* What is told of a topic. */
struct ft_topic_row {
    uint64_t rate; /* publications in a thousand seconds */
    uint64_t publications, bytes;
    uint64_t at_ms; /* of the latest, to a second */
    bool is_retained;
    uint8_t name_len;
    uint8_t name[FT_TOPIC_BYTES_MAX];
};

struct ft_topic_list {
    struct ft_topic_row *rows; /* in any order; after ft_topic_list_settle() in that of the list */
    uint32_t count;
    uint64_t total;   /* topics that are asked for, whatever `after` says */
    uint64_t further; /* those among them that `after` does not pass by: in the list or not */

    struct ft_topic_want want_;
    uint8_t filter_[FT_TOPIC_BYTES_MAX], contains_[FT_TOPIC_BYTES_MAX], after_[FT_TOPIC_BYTES_MAX];
    uint32_t *heap_; /* places of rows, the worst first */
    uint32_t cap_, next_id_;
};

/* Begins a list; `want` is copied. */
void ft_topic_list_init(struct ft_topic_list *list, const struct ft_topic_want *want);
void ft_topic_list_fini(struct ft_topic_list *list);

/* Looks at the next portion of topics. Returns false when there are no more. Any thread. */
bool ft_topic_list_step(struct ft_topic_list *list, struct ft_journal *journal);

/* Puts what was found in order. Once, after the last step. */
void ft_topic_list_settle(struct ft_topic_list *list);

static inline struct ft_slice ft_topic_row_name(const struct ft_topic_row *row)
{
    return ft_slice(row->name, row->name_len);
}

#endif
