/*
 * What is remembered by topic, beside the journal. Decides what is kept and what goes; does not read
 * for anybody (rewind.c does), knows no filters, takes no lock. Under the journal's lock.
 */
#include "broker/core/topic_table.h"

#include "broker/base/alloc.h"
#include "broker/core/edge_table.h"
#include "broker/core/hash.h"

#include <stdlib.h>

/* Topics looked at by one call of the timer: a hundred thousand take two minutes, and none of it is
 * visible, because whoever reads checks the time himself. */
#define SWEEP 1024

struct ft_topic_table {
    struct ft_topic_limits limits;
    struct ft_hash_keys keys;
    struct ft_edge_table index; /* hash ─▶ id */
    struct ft_topic **topics;   /* by id; 0 is nobody's */
    uint32_t *free_ids;
    uint32_t end, cap, free_count;
    struct ft_topic *newest, *oldest; /* remembered, by their latest publications */
    uint32_t remembered;
    struct ft_topic *retained_newest, *retained_oldest;
    uint32_t retained;
    struct ft_kept *copy_newest, *copy_oldest;
    uint64_t kept_bytes;
    uint32_t sweep_at;
    uint64_t topics_dropped, retained_dropped, kept_dropped;
};

struct ft_topic_table *ft_topic_table_new(const struct ft_topic_limits *limits, uint64_t seed)
{
    struct ft_topic_table *t = ft_alloc_zero(sizeof(*t));
    FT_ASSERT(limits->topics > 0); /* the one that was published to last is always remembered */
    t->limits = *limits;
    ft_hash_keys_init(&t->keys, seed);
    ft_edge_table_init(&t->index);
    t->end = 1;
    return t;
}

void ft_topic_table_free(struct ft_topic_table *t)
{
    if (!t)
        return;
    while (t->copy_oldest) {
        struct ft_kept *copy = t->copy_oldest;
        t->copy_oldest = copy->newer;
        ft_publication_fini(&copy->publication);
        free(copy);
    }
    for (uint32_t id = 1; id < t->end; id++)
        free(t->topics[id]);
    ft_edge_table_fini(&t->index);
    free(t->topics);
    free(t->free_ids);
    free(t);
}

uint64_t ft_topic_table_hash(const struct ft_topic_table *t, struct ft_slice topic)
{
    return ft_hash(&t->keys, topic);
}

/* ---- topics by name and by id ---- */

static uint32_t index_hash(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static struct ft_topic *find(const struct ft_topic_table *t, struct ft_slice name, uint64_t hash)
{
    uint32_t at = ft_edge_table_home(&t->index, index_hash(hash));
    uint32_t id;
    while ((id = ft_edge_table_next(&t->index, index_hash(hash), &at)) != 0) {
        struct ft_topic *topic = t->topics[id];
        if (topic->hash == hash && ft_slice_equal(ft_topic_name(topic), name))
            return topic;
    }
    return NULL;
}

static uint32_t take_id(struct ft_topic_table *t)
{
    if (t->free_count > 0)
        return t->free_ids[--t->free_count];
    if (t->end >= t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->topics = ft_realloc(t->topics, t->cap * sizeof(*t->topics));
        t->free_ids = ft_realloc(t->free_ids, t->cap * sizeof(*t->free_ids));
    }
    return t->end++;
}

static struct ft_topic *topic_new(struct ft_topic_table *t, const struct ft_publication *p)
{
    struct ft_slice name = ft_publication_topic(p);
    struct ft_topic *topic = ft_alloc_zero(offsetof(struct ft_topic, name) + name.len);
    topic->hash = p->topic_hash;
    topic->born = p->offset;
    topic->name_len = (uint8_t)name.len;
    memcpy(topic->name, name.ptr, name.len);
    topic->id = take_id(t);
    t->topics[topic->id] = topic;
    ft_edge_table_add(&t->index, index_hash(topic->hash), topic->id);
    return topic;
}

static void queue_add(struct ft_topic_table *t, struct ft_topic *topic)
{
    topic->is_queued = true;
    topic->newer = NULL;
    topic->older = t->newest;
    if (t->newest)
        t->newest->newer = topic;
    else
        t->oldest = topic;
    t->newest = topic;
    t->remembered++;
}

static void queue_remove(struct ft_topic_table *t, struct ft_topic *topic)
{
    if (!topic->is_queued)
        return;
    if (topic->newer)
        topic->newer->older = topic->older;
    else
        t->newest = topic->older;
    if (topic->older)
        topic->older->newer = topic->newer;
    else
        t->oldest = topic->newer;
    topic->is_queued = false;
    t->remembered--;
}

/* Frees a topic of which nothing is left. */
static void tidy(struct ft_topic_table *t, struct ft_topic *topic)
{
    if (topic->chained > 0 || topic->kept_count > 0)
        return;
    queue_remove(t, topic);
    if (topic->retained != 0)
        return;
    ft_edge_table_remove(&t->index, index_hash(topic->hash), topic->id);
    t->topics[topic->id] = NULL;
    t->free_ids[t->free_count++] = topic->id;
    free(topic);
}

/* ---- copies ---- */

static struct ft_kept *copy_new(struct ft_topic_table *t, struct ft_topic *topic,
                                const struct ft_publication *p)
{
    size_t size = offsetof(struct ft_kept, publication) + p->size_;
    struct ft_kept *copy = ft_alloc(size > sizeof(*copy) ? size : sizeof(*copy));
    ft_publication_copy(p, &copy->publication);
    copy->topic = topic;
    copy->next = copy->prev = NULL;
    copy->newer = NULL;
    copy->older = t->copy_newest;
    if (t->copy_newest)
        t->copy_newest->newer = copy;
    else
        t->copy_oldest = copy;
    t->copy_newest = copy;
    t->kept_bytes += p->size_;
    return copy;
}

static void copy_free(struct ft_topic_table *t, struct ft_kept *copy)
{
    if (copy->newer)
        copy->newer->older = copy->older;
    else
        t->copy_newest = copy->older;
    if (copy->older)
        copy->older->newer = copy->newer;
    else
        t->copy_oldest = copy->newer;
    t->kept_bytes -= copy->publication.size_;
    ft_publication_fini(&copy->publication);
    free(copy);
}

/* Lets go of the oldest of a topic's history, which is always the one to go: copies are made in the
 * order of offsets. */
static void history_pop(struct ft_topic_table *t, struct ft_topic *topic)
{
    struct ft_kept *first = topic->kept_first;
    topic->kept_first = first->next;
    if (first->next)
        first->next->prev = NULL;
    else
        topic->kept_last = NULL;
    topic->kept_count--;
    copy_free(t, first);
}

static void history_add(struct ft_topic_table *t, struct ft_topic *topic,
                        const struct ft_publication *p)
{
    struct ft_kept *copy = copy_new(t, topic, p);
    copy->prev = topic->kept_last;
    if (topic->kept_last)
        topic->kept_last->next = copy;
    else
        topic->kept_first = copy;
    topic->kept_last = copy;
    topic->kept_count++;
}

/* Lets go of what newer publications have pushed out of a topic's history. */
static void history_trim(struct ft_topic_table *t, struct ft_topic *topic)
{
    while (topic->kept_count > 0 && topic->kept_count + topic->chained > topic->history)
        history_pop(t, topic);
}

/* ---- last values ---- */

static void retained_remove(struct ft_topic_table *t, struct ft_topic *topic)
{
    if (topic->retained == 0)
        return;
    if (topic->retained_copy)
        copy_free(t, topic->retained_copy);
    if (topic->retained_newer)
        topic->retained_newer->retained_older = topic->retained_older;
    else
        t->retained_newest = topic->retained_older;
    if (topic->retained_older)
        topic->retained_older->retained_newer = topic->retained_newer;
    else
        t->retained_oldest = topic->retained_newer;
    topic->retained = 0;
    topic->retained_copy = NULL;
    t->retained--;
}

static void retained_add(struct ft_topic_table *t, struct ft_topic *topic, uint64_t offset)
{
    topic->retained = offset;
    topic->retained_newer = NULL;
    topic->retained_older = t->retained_newest;
    if (t->retained_newest)
        t->retained_newest->retained_newer = topic;
    else
        t->retained_oldest = topic;
    t->retained_newest = topic;
    t->retained++;
}

/* ---- bounds: the oldest goes ---- */

static void forget(struct ft_topic_table *t, struct ft_topic *topic)
{
    while (topic->kept_first)
        history_pop(t, topic);
    /* What the journal still holds of it belongs to nobody any more. */
    topic->born = topic->last + 1;
    topic->chained = 0;
    tidy(t, topic);
}

static void limit_topics(struct ft_topic_table *t)
{
    while (t->remembered > t->limits.topics) {
        t->topics_dropped++;
        forget(t, t->oldest);
    }
}

static void limit_retained(struct ft_topic_table *t)
{
    while (t->retained > t->limits.retained) {
        struct ft_topic *oldest = t->retained_oldest;
        t->retained_dropped++;
        retained_remove(t, oldest);
        tidy(t, oldest);
    }
}

static void limit_copies(struct ft_topic_table *t)
{
    while (t->kept_bytes > t->limits.kept_bytes) {
        struct ft_kept *oldest = t->copy_oldest;
        struct ft_topic *topic = oldest->topic;
        if (oldest == topic->retained_copy) {
            t->retained_dropped++;
            retained_remove(t, topic);
        } else {
            t->kept_dropped++;
            history_pop(t, topic);
        }
        tidy(t, topic);
    }
}

/* ---- as publications come and go ---- */

uint32_t ft_topic_table_note(struct ft_topic_table *t, const struct ft_publication *p,
                             uint64_t *previous)
{
    struct ft_topic *topic = find(t, ft_publication_topic(p), p->topic_hash);
    if (!topic)
        topic = topic_new(t, p);
    *previous = topic->chained > 0 ? topic->last : 0;
    topic->last = p->offset;
    topic->chained++;
    topic->history = p->history;
    topic->stream = p->stream;
    topic->count.at_s = (uint32_t)(p->at_ms / 1000);
    if (p->entry == FT_ENTRY_LIVE)
        ft_topic_count_add(&topic->count, p->data_len_, p->accepted_s);
    if (topic->kept_count > 0)
        history_trim(t, topic);
    if (p->is_retained || p->clears_retained) {
        retained_remove(t, topic);
        if (p->is_retained)
            retained_add(t, topic, p->offset);
    }
    uint32_t id = topic->id;
    if (t->newest != topic) {
        queue_remove(t, topic);
        queue_add(t, topic);
        limit_topics(t);
    }
    if (p->is_retained)
        limit_retained(t);
    return id;
}

void ft_topic_table_drop(struct ft_topic_table *t, uint32_t id, uint64_t offset,
                         const struct ft_publication *p, uint32_t now_ds)
{
    struct ft_topic *topic = id < t->end ? t->topics[id] : NULL;
    if (!topic)
        return;
    bool is_chained = offset >= topic->born && topic->chained > 0;
    bool is_history = is_chained && topic->chained <= topic->history;
    bool is_retained = topic->retained == offset && !topic->retained_copy;
    bool is_wanted = (is_history || is_retained) && !ft_publication_is_expired(p, now_ds);
    if (is_history && is_wanted)
        history_add(t, topic, p);
    if (is_retained && is_wanted)
        topic->retained_copy = copy_new(t, topic, p);
    else if (is_retained)
        retained_remove(t, topic);
    if (is_chained)
        topic->chained--;
    tidy(t, topic); /* with a last value alone it is not remembered: that has a bound of its own */
    if (is_wanted)
        limit_copies(t);
}

void ft_topic_table_forget(struct ft_topic_table *t, uint32_t stream)
{
    for (uint32_t id = 1; id < t->end; id++) {
        struct ft_topic *topic = t->topics[id];
        if (!topic || topic->stream != stream)
            continue;
        retained_remove(t, topic);
        forget(t, topic);
    }
}

void ft_topic_table_expire(struct ft_topic_table *t, uint32_t now_ds)
{
    for (uint32_t n = 0; n < SWEEP && n < t->end; n++) {
        t->sweep_at = t->sweep_at + 1 < t->end ? t->sweep_at + 1 : 1;
        struct ft_topic *topic = t->sweep_at < t->end ? t->topics[t->sweep_at] : NULL;
        if (!topic)
            continue;
        while (topic->kept_first &&
               ft_publication_is_expired(&topic->kept_first->publication, now_ds))
            history_pop(t, topic);
        if (topic->retained_copy &&
            ft_publication_is_expired(&topic->retained_copy->publication, now_ds))
            retained_remove(t, topic);
        tidy(t, topic);
    }
}

/* ---- looking ---- */

const struct ft_topic *ft_topic_table_find(const struct ft_topic_table *t, struct ft_slice name)
{
    return find(t, name, ft_hash(&t->keys, name));
}

uint32_t ft_topic_table_end(const struct ft_topic_table *t)
{
    return t->end;
}

const struct ft_topic *ft_topic_table_at(const struct ft_topic_table *t, uint32_t id)
{
    return t->topics[id];
}

const struct ft_topic *ft_topic_table_retained(const struct ft_topic_table *t)
{
    return t->retained_oldest;
}

void ft_topic_table_stats(const struct ft_topic_table *t, struct ft_topic_stats *stats)
{
    *stats = (struct ft_topic_stats){
        .topics = t->remembered,
        .retained = t->retained,
        .kept_bytes = t->kept_bytes,
        .topics_dropped = t->topics_dropped,
        .retained_dropped = t->retained_dropped,
        .kept_dropped = t->kept_dropped,
    };
}
