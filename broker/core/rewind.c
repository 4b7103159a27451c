/*
 * Looking back by topic: walks the chains in the journal and the copies beside it. Keeps the smallest
 * offsets that fit and notes that there are more. One worker's thread, under the journal's lock.
 */
#include "broker/core/rewind.h"

#include "broker/base/alloc.h"
#include "protocol/topic.h"

#include <stdlib.h>

void ft_rewind_init(struct ft_rewind *r)
{
    *r = (struct ft_rewind){0};
}

void ft_rewind_fini(struct ft_rewind *r)
{
    free(r->picks);
}

void ft_rewind_begin(struct ft_rewind *r, struct ft_journal *journal,
                     const struct ft_rewind_want *want)
{
    if (!r->picks)
        r->picks = ft_alloc((size_t)2 * FT_REWIND_MAX * sizeof(*r->picks));
    r->journal = journal;
    r->want = *want;
    r->count = r->next = 0;
    r->bound = UINT64_MAX;
    r->topics = ft_journal_lock_topics(journal);
}

/* By offset; a last value before the same publication as one of the latest. */
static int compare(const void *a, const void *b)
{
    const struct ft_pick *left = a, *right = b;
    uint64_t x = left->publication->offset, y = right->publication->offset;
    if (x != y)
        return x < y ? -1 : 1;
    return (int)right->is_retained - (int)left->is_retained;
}

/* Sorts what was found, each publication once, and cuts off what does not fit. */
static void settle(struct ft_rewind *r)
{
    qsort(r->picks, r->count, sizeof(*r->picks), compare);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t offset = r->picks[i].publication->offset;
        if (n == 0 || offset != r->picks[n - 1].publication->offset)
            r->picks[n++] = r->picks[i];
    }
    if (n > FT_REWIND_MAX) {
        n = FT_REWIND_MAX;
        r->bound = r->picks[n - 1].publication->offset;
    }
    r->count = n;
}

/* Says whether it has a position in this stream. */
static bool is_of(const struct ft_publication *p, struct ft_slice stream)
{
    struct ft_slice pos = ft_publication_pos(p);
    return pos.len > stream.len && memcmp(pos.ptr, stream.ptr, stream.len) == 0 &&
           pos.ptr[stream.len] == '.';
}

/* Notes a publication if it is one that is looked for. Returns false when it is past its time. */
static bool found(struct ft_rewind *r, struct ft_pick pick)
{
    const struct ft_publication *p = pick.publication;
    if (ft_publication_is_expired(p, r->want.now_ds))
        return false;
    if (p->offset <= r->want.after || p->offset > r->bound)
        return true;
    if (r->want.stream.len > 0 && p->seq <= r->want.seq && is_of(p, r->want.stream))
        return true;
    if (r->count == 2 * FT_REWIND_MAX)
        settle(r);
    if (p->offset <= r->bound)
        r->picks[r->count++] = pick;
    return true;
}

static void add_retained(struct ft_rewind *r, const struct ft_topic *topic)
{
    if (topic->retained == 0 || topic->retained > r->want.upto)
        return;
    const struct ft_kept *copy = topic->retained_copy;
    const struct ft_publication *p =
        copy ? &copy->publication : ft_journal_peek(r->journal, topic->retained);
    if (p)
        (void)found(r, (struct ft_pick){p, .is_retained = true, .is_copy = copy != NULL});
}

/* Walks back from the latest one: first along the chain in the journal, then through the copies. */
static void add_latest(struct ft_rewind *r, const struct ft_topic *topic)
{
    uint32_t left = r->want.last;
    if (topic->history > 0 && topic->history < left)
        left = topic->history; /* the topic's own history, where a policy keeps one */
    uint64_t offset = topic->chained > 0 ? topic->last : 0;
    while (left > 0 && offset > r->want.after) {
        const struct ft_publication *p = ft_journal_peek(r->journal, offset);
        if (!p)
            break;
        if (offset <= r->want.upto && found(r, (struct ft_pick){.publication = p}))
            left--;
        offset = p->previous;
    }
    const struct ft_kept *copy = topic->kept_last;
    for (; left > 0 && copy && copy->publication.offset > r->want.after; copy = copy->prev) {
        if (copy->publication.offset <= r->want.upto &&
            found(r, (struct ft_pick){&copy->publication, .is_copy = true}))
            left--;
    }
}

static void add_topic(struct ft_rewind *r, const struct ft_topic *topic)
{
    if (r->want.retained)
        add_retained(r, topic);
    if (r->want.last > 0)
        add_latest(r, topic);
}

void ft_rewind_add(struct ft_rewind *r, struct ft_slice filter)
{
    const struct ft_topic *topic;
    if (ft_filter_is_exact(filter)) {
        topic = ft_topic_table_find(r->topics, filter);
        if (topic)
            add_topic(r, topic);
        return;
    }
    if (r->want.last == 0) { /* the oldest first: what does not fit this look comes last */
        topic = ft_topic_table_retained(r->topics);
        for (; topic; topic = topic->retained_newer) {
            if (ft_filter_matches(filter, ft_topic_name(topic)))
                add_topic(r, topic);
        }
        return;
    }
    for (uint32_t id = 1; id < ft_topic_table_end(r->topics); id++) {
        topic = ft_topic_table_at(r->topics, id);
        if (topic && ft_filter_matches(filter, ft_topic_name(topic)))
            add_topic(r, topic);
    }
}

bool ft_rewind_next(struct ft_rewind *r, struct ft_pick *pick)
{
    if (r->next == 0)
        settle(r);
    if (r->next == r->count)
        return false;
    *pick = r->picks[r->next++];
    return true;
}

struct ft_slice ft_rewind_frame(const struct ft_rewind *r, const struct ft_pick *pick,
                                enum ft_frames frames)
{
    /* What is in the journal is the journal's, and so are further frames of it. */
    if (!pick->is_copy)
        return ft_journal_frame_locked(r->journal, pick->publication, frames);
    /* A place that is long gone is none to go on from with many streams. */
    return frames == FT_FRAMES_EVENTS && ft_journal_streams(r->journal) > 0
               ? ft_publication_event(pick->publication, ft_slice("", 0), NULL)
               : ft_publication_frame(pick->publication, frames, NULL);
}

uint64_t ft_rewind_end(struct ft_rewind *r)
{
    bool is_done = r->next == r->count && r->bound == UINT64_MAX;
    uint64_t after = r->next > 0 ? r->picks[r->next - 1].publication->offset : r->want.after;
    ft_journal_unlock(r->journal);
    return is_done ? UINT64_MAX : after;
}
