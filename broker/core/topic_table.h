/*
 * The topics that the journal remembers: of each, which publication is the latest, its own history
 * where a policy keeps one beyond the journal, and its last value.
 *
 *     journal    … 17 ─ 23 ─ 31 …          one chain a topic: publication->previous
 *                            ▲
 *     topic   "a/b" ── last ─┘
 *                   ── kept ────▶ copies of 9, 12      (left the journal; the policy keeps more)
 *                   ── retained ▶ copy of 12, or 31 in the journal
 *
 * A publication is copied only when it leaves the journal and is still wanted, so that a busy topic
 * costs nothing here. What is here is bounded three ways (struct ft_topic_limits); whatever is over a
 * bound, the oldest goes. The caller keeps the lock: all of this happens under the journal's.
 */
#ifndef FT_CORE_TOPIC_TABLE_H
#define FT_CORE_TOPIC_TABLE_H

#include "broker/core/publication.h"
#include "broker/core/topic_count.h"

struct ft_topic_limits {
    uint32_t topics;   /* with a chain or a history; last values have a bound of their own */
    uint32_t retained; /* last values */
    size_t kept_bytes; /* of all copies */
};

struct ft_topic_stats {
    uint32_t topics, retained;
    uint64_t kept_bytes;
    uint64_t topics_dropped, retained_dropped, kept_dropped; /* because of a bound */
};

/* A publication that left the journal, on the heap. */
struct ft_kept {
    struct ft_kept *next, *prev;   /* of its topic; NULL for a last value */
    struct ft_kept *newer, *older; /* among all copies, in the order in which they were made */
    struct ft_topic *topic;
    struct ft_publication publication; /* goes on behind the struct */
};

struct ft_topic {
    uint64_t hash;
    uint64_t born; /* offset of the first publication that it knew */
    uint64_t last; /* of the latest one; in the journal's chain while `chained` is not 0 */
    struct ft_topic *newer, *older; /* among those remembered, by their latest publications */
    struct ft_topic *retained_newer, *retained_older; /* among those with a last value */
    uint64_t retained;                                /* its offset, 0: none */
    struct ft_kept *retained_copy;                    /* NULL: it is in the journal */
    struct ft_kept *kept_first, *kept_last; /* its history beyond the journal, oldest first */
    struct ft_topic_count count; /* of what was published, not restored, since it is remembered */
    uint32_t kept_count;
    uint32_t chained; /* publications in the journal's chain */
    uint32_t history; /* what its latest publication's policy said */
    uint32_t id;
    uint16_t stream; /* of that one, too */
    uint8_t name_len;
    bool is_queued;
    uint8_t name[];
};

struct ft_topic_table;

struct ft_topic_table *ft_topic_table_new(const struct ft_topic_limits *limits, uint64_t seed);
void ft_topic_table_free(struct ft_topic_table *table);

/* Returns the hash that publications of this topic carry. Any thread: the keys do not change. */
uint64_t ft_topic_table_hash(const struct ft_topic_table *table, struct ft_slice topic);

/* Notes a publication that has just got its number. Returns the id of its topic, to be kept beside it
 * until it leaves the journal, and sets `previous` to the offset before it in its chain, or 0. */
uint32_t ft_topic_table_note(struct ft_topic_table *table, const struct ft_publication *p,
                             uint64_t *previous);

/* Notes that the publication at `offset` leaves the journal, the oldest one first. `id` is what note()
 * returned. `p` is looked at only where a copy is wanted. */
void ft_topic_table_drop(struct ft_topic_table *table, uint32_t id, uint64_t offset,
                         const struct ft_publication *p, uint32_t now_ds);

/* Forgets everything of the topics whose latest publication is of this stream, as if nobody had published
 * there. */
void ft_topic_table_forget(struct ft_topic_table *table, uint32_t stream);

/* Finds a topic by its name, or returns NULL. Lent until the lock is given back. */
const struct ft_topic *ft_topic_table_find(const struct ft_topic_table *table,
                                           struct ft_slice topic);

/* Walks all topics: those with ids 1 … end - 1, NULL where there is none. Ids never change, and a
 * topic that comes later may get any free one. */
uint32_t ft_topic_table_end(const struct ft_topic_table *table);
const struct ft_topic *ft_topic_table_at(const struct ft_topic_table *table, uint32_t id);

/* The topic whose last value is the oldest; go on with ->retained_newer. */
const struct ft_topic *ft_topic_table_retained(const struct ft_topic_table *table);

/* Lets go of copies past their time, a few at a time. For a timer. */
void ft_topic_table_expire(struct ft_topic_table *table, uint32_t now_ds);

void ft_topic_table_stats(const struct ft_topic_table *table, struct ft_topic_stats *stats);

static inline struct ft_slice ft_topic_name(const struct ft_topic *topic)
{
    return ft_slice(topic->name, topic->name_len);
}

#endif
