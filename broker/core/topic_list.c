/*
 * Lists of topics: walks the journal's table by ids and keeps the best. Takes the journal's lock for each
 * portion; knows no clock and writes nothing down.
 */
#include "broker/core/topic_list.h"

#include "broker/base/alloc.h"

#include <stdlib.h>

#define FIRST 64

static struct ft_slice copy(struct ft_slice text, uint8_t *to)
{
    if (!text.ptr)
        return text;
    FT_ASSERT(text.len <= FT_TOPIC_BYTES_MAX);
    memcpy(to, text.ptr, text.len);
    return ft_slice(to, text.len);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Looks for a text of small letters. */
static bool contains(struct ft_slice name, struct ft_slice text)
{
    uint8_t small[FT_TOPIC_BYTES_MAX];
    for (size_t i = 0; i < name.len; i++)
        small[i] = lower(name.ptr[i]);
    return memmem(small, name.len, text.ptr, text.len) != NULL;
}

void ft_topic_list_init(struct ft_topic_list *list, const struct ft_topic_want *want)
{
    FT_ASSERT(want->limit > 0 && want->limit <= FT_TOPIC_LIST_MAX);
    *list = (struct ft_topic_list){.want_ = *want, .next_id_ = 1};
    list->want_.filter = copy(want->filter, list->filter_);
    list->want_.contains = copy(want->contains, list->contains_);
    for (size_t i = 0; i < list->want_.contains.len; i++)
        list->contains_[i] = lower(list->contains_[i]);
    list->want_.after = copy(want->after, list->after_);
}

void ft_topic_list_fini(struct ft_topic_list *list)
{
    free(list->rows);
    free(list->heap_);
    *list = (struct ft_topic_list){0};
}

/* ---- what comes before what ---- */

static int compare_names(struct ft_slice a, struct ft_slice b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool comes_before(enum ft_topic_order order, uint64_t rate, struct ft_slice name,
                         const struct ft_topic_row *other)
{
    if (order == FT_TOPICS_BY_RATE && rate != other->rate)
        return rate > other->rate;
    return compare_names(name, ft_topic_row_name(other)) < 0;
}

static bool is_worse(const struct ft_topic_list *list, uint32_t a, uint32_t b)
{
    const struct ft_topic_row *row = &list->rows[list->heap_[b]];
    return comes_before(list->want_.order, row->rate, ft_topic_row_name(row),
                        &list->rows[list->heap_[a]]);
}

/* ---- the heap: a parent is worse than its children ---- */

static void swap(struct ft_topic_list *list, uint32_t a, uint32_t b)
{
    uint32_t place = list->heap_[a];
    list->heap_[a] = list->heap_[b];
    list->heap_[b] = place;
}

static void sift_up(struct ft_topic_list *list, uint32_t at)
{
    while (at > 0 && is_worse(list, at, (at - 1) / 2)) {
        swap(list, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct ft_topic_list *list)
{
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= list->count)
            return;
        if (child + 1 < list->count && is_worse(list, child + 1, child))
            child++;
        if (!is_worse(list, child, at))
            return;
        swap(list, at, child);
        at = child;
    }
}

static void grow(struct ft_topic_list *list)
{
    list->cap_ = list->cap_ ? 2 * list->cap_ : FIRST;
    list->rows = ft_realloc(list->rows, list->cap_ * sizeof(*list->rows));
    list->heap_ = ft_realloc(list->heap_, list->cap_ * sizeof(*list->heap_));
}

static void fill(struct ft_topic_row *row, const struct ft_topic *topic, uint64_t rate)
{
    row->rate = rate;
    row->publications = topic->count.publications;
    row->bytes = topic->count.bytes;
    row->at_ms = ft_topic_count_at_ms(&topic->count);
    row->is_retained = topic->retained != 0;
    row->name_len = topic->name_len;
    memcpy(row->name, topic->name, topic->name_len);
}

/* ---- the walk ---- */

static void look_at(struct ft_topic_list *list, const struct ft_topic *topic)
{
    const struct ft_topic_want *want = &list->want_;
    struct ft_slice name = ft_topic_name(topic);
    if (want->filter.ptr && !ft_filter_matches(want->filter, name))
        return;
    if (want->contains.ptr && !contains(name, want->contains))
        return;
    list->total++;
    if (want->after.ptr && compare_names(name, want->after) <= 0)
        return;
    list->further++;
    uint64_t rate = ft_topic_count_rate(&topic->count, want->now_ms);
    if (list->count < want->limit) {
        if (list->count == list->cap_)
            grow(list);
        list->heap_[list->count] = list->count;
        fill(&list->rows[list->count++], topic, rate);
        sift_up(list, list->count - 1);
        return;
    }
    struct ft_topic_row *worst = &list->rows[list->heap_[0]];
    if (!comes_before(want->order, rate, name, worst))
        return;
    fill(worst, topic, rate);
    sift_down(list);
}

bool ft_topic_list_step(struct ft_topic_list *list, struct ft_journal *journal)
{
    const struct ft_topic_table *topics = ft_journal_lock_topics(journal);
    uint32_t end = ft_topic_table_end(topics), last = list->next_id_ + FT_TOPIC_LIST_STEP;
    for (; list->next_id_ < end && list->next_id_ < last; list->next_id_++) {
        const struct ft_topic *topic = ft_topic_table_at(topics, list->next_id_);
        if (topic)
            look_at(list, topic);
    }
    bool has_more = list->next_id_ < end;
    ft_journal_unlock(journal);
    return has_more;
}

/* ---- putting it in order ---- */

static int by_name(const void *a, const void *b)
{
    return compare_names(ft_topic_row_name(a), ft_topic_row_name(b));
}

static int by_rate(const void *a, const void *b)
{
    uint64_t x = ((const struct ft_topic_row *)a)->rate, y = ((const struct ft_topic_row *)b)->rate;
    return x != y ? (x < y) - (x > y) : by_name(a, b);
}

/* Takes out what was met twice, because it was forgotten and came back under another id. */
static void drop_doubles(struct ft_topic_list *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (n == 0 || by_name(&list->rows[n - 1], &list->rows[i]) != 0)
            list->rows[n++] = list->rows[i];
    }
    list->total -= list->count - n;
    list->further -= list->count - n;
    list->count = n;
}

void ft_topic_list_settle(struct ft_topic_list *list)
{
    if (list->count == 0)
        return;
    qsort(list->rows, list->count, sizeof(*list->rows), by_name);
    drop_doubles(list);
    if (list->want_.order == FT_TOPICS_BY_RATE)
        qsort(list->rows, list->count, sizeof(*list->rows), by_rate);
}
