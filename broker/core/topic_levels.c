/*
 * Levels of topics: walks the journal's table by ids. What is kept is ordered by name, so that a level is found by
 * halving, and one that is not among the first `limit` any more is pushed out for good.
 */
#include "broker/core/topic_levels.h"

#include "broker/base/alloc.h"
#include "broker/core/topic_list.h"

#include <stdlib.h>

static struct ft_slice copy(struct ft_slice text, uint8_t *to)
{
    if (!text.ptr)
        return text;
    FT_ASSERT(text.len <= FT_TOPIC_BYTES_MAX);
    memcpy(to, text.ptr, text.len);
    return ft_slice(to, text.len);
}

void ft_topic_levels_init(struct ft_topic_levels *levels, const struct ft_level_want *want)
{
    FT_ASSERT(want->limit > 0 && want->limit <= FT_LEVELS_LISTED_MAX);
    *levels = (struct ft_topic_levels){.want_ = *want, .next_id_ = 1};
    levels->want_.under = copy(want->under, levels->under_);
    levels->want_.after = copy(want->after, levels->after_);
    levels->rows_ = ft_alloc(want->limit * sizeof(*levels->rows_));
    levels->order_ = ft_alloc(want->limit * sizeof(*levels->order_));
}

void ft_topic_levels_fini(struct ft_topic_levels *levels)
{
    free(levels->rows_);
    free(levels->order_);
    *levels = (struct ft_topic_levels){0};
}

static int compare(struct ft_slice a, struct ft_slice b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* What is left of a topic behind `under`, or an absent text where it is not below. */
static struct ft_slice below(struct ft_slice topic, struct ft_slice under)
{
    if (!under.ptr)
        return topic;
    if (topic.len <= under.len || topic.ptr[under.len] != '/' ||
        memcmp(topic.ptr, under.ptr, under.len) != 0)
        return (struct ft_slice){0};
    return ft_slice(topic.ptr + under.len + 1, topic.len - under.len - 1);
}

/* Finds a level among those that are kept. False: `place` is where it would stand. */
static bool find(const struct ft_topic_levels *levels, struct ft_slice level, uint32_t *place)
{
    uint32_t first = 0, end = levels->count;
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        int order = compare(level, ft_level_row_name(ft_topic_levels_at(levels, middle)));
        if (order == 0) {
            *place = middle;
            return true;
        }
        if (order < 0)
            end = middle;
        else
            first = middle + 1;
    }
    *place = first;
    return false;
}

/* Makes room at `place`, where need be in place of the last one. NULL: it would be behind the last. */
static struct ft_level_row *insert(struct ft_topic_levels *levels, uint32_t place,
                                   struct ft_slice level)
{
    bool is_full = levels->count == levels->want_.limit;
    levels->has_more |= is_full;
    if (is_full && place == levels->count)
        return NULL;
    uint32_t last = is_full ? levels->count - 1 : levels->count;
    uint32_t free_row = is_full ? levels->order_[last] : levels->count++;
    memmove(&levels->order_[place + 1], &levels->order_[place],
            (last - place) * sizeof(*levels->order_));
    levels->order_[place] = free_row;
    struct ft_level_row *row = &levels->rows_[free_row];
    *row = (struct ft_level_row){.name_len = (uint8_t)level.len};
    memcpy(row->name, level.ptr, level.len);
    return row;
}

static void add(struct ft_level_figures *sum, const struct ft_level_figures *more)
{
    sum->rate += more->rate;
    sum->publications += more->publications;
    sum->bytes += more->bytes;
    if (more->at_ms > sum->at_ms)
        sum->at_ms = more->at_ms;
}

static void look_at(struct ft_topic_levels *levels, const struct ft_topic *topic)
{
    const struct ft_level_want *want = &levels->want_;
    struct ft_slice rest = below(ft_topic_name(topic), want->under);
    if (!rest.ptr)
        return;
    const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    struct ft_slice level = ft_slice(rest.ptr, slash ? (size_t)(slash - rest.ptr) : rest.len);
    if (want->after.ptr && compare(level, want->after) <= 0)
        return;
    uint32_t place;
    struct ft_level_row *row = find(levels, level, &place) ? &levels->rows_[levels->order_[place]]
                                                           : insert(levels, place, level);
    if (!row)
        return;
    struct ft_level_figures figures = {
        .rate = ft_topic_count_rate(&topic->count, want->now_ms),
        .publications = topic->count.publications,
        .bytes = topic->count.bytes,
        .at_ms = ft_topic_count_at_ms(&topic->count),
    };
    add(&row->all, &figures);
    row->topics++;
    if (slash)
        return;
    row->is_topic = true;
    row->is_retained = topic->retained != 0;
    row->own = figures;
}

bool ft_topic_levels_step(struct ft_topic_levels *levels, struct ft_journal *journal)
{
    const struct ft_topic_table *topics = ft_journal_lock_topics(journal);
    uint32_t end = ft_topic_table_end(topics), last = levels->next_id_ + FT_TOPIC_LIST_STEP;
    for (; levels->next_id_ < end && levels->next_id_ < last; levels->next_id_++) {
        const struct ft_topic *topic = ft_topic_table_at(topics, levels->next_id_);
        if (topic)
            look_at(levels, topic);
    }
    bool has_more = levels->next_id_ < end;
    ft_journal_unlock(journal);
    return has_more;
}
