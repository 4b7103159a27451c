/*
 * Feeds from the past: resumes, snapshots and parked readers, from the journal into outboxes, as much
 * as the sockets take. Does not write to sockets (session.c does) and does not fan out (router.c does).
 * The worker's thread.
 */
#include "broker/hub/feed.h"

#include "broker/base/alloc.h"
#include "broker/hub/places.h"
#include "broker/hub/reply.h"
#include "broker/hub/throttle.h"
#include "broker/hub/worker.h"
#include "protocol/topic.h"

#include <stdlib.h>

/* What all feeds together may take of one turn of the loop, in bytes sent: a fraction of a millisecond,
 * so that those who are live hardly notice. */
#define TURN_BYTES ((size_t)256 * 1024)
/* What a look at one publication counts, when it is for somebody else; and what a step counts at least,
 * because it ends in a write. */
#define LOOK_BYTES 32
#define STEP_BYTES 8192
/* Publications that one step looks at, so that a session whose topics are rare is served in turns, too. */
#define STEP_LOOKS 4096

/* ---- the list of those that can go on ---- */

static void list_add(struct ft_worker *w, struct ft_feed *feed)
{
    if (feed->link)
        return;
    feed->next = NULL;
    feed->link = w->feeds_end;
    *w->feeds_end = feed;
    w->feeds_end = &feed->next;
}

static void list_remove(struct ft_worker *w, struct ft_feed *feed)
{
    if (!feed->link)
        return;
    *feed->link = feed->next;
    if (feed->next)
        feed->next->link = feed->link;
    else
        w->feeds_end = feed->link;
    feed->link = NULL;
}

void ft_feed_wake(struct ft_feed *feed)
{
    list_add(feed->session->asker.worker, feed);
}

/* ---- where streams begin ---- */

struct ft_starts *ft_starts_new(uint32_t count, uint64_t live)
{
    struct ft_starts *starts = ft_alloc(sizeof(*starts) + count * sizeof(starts->at[0]));
    *starts = (struct ft_starts){.users = 1, .count = count, .live = live};
    for (uint32_t i = 0; i < count; i++)
        starts->at[i] = live;
    return starts;
}

struct ft_starts *ft_starts_use(struct ft_starts *starts)
{
    if (starts)
        starts->users++;
    return starts;
}

void ft_starts_release(struct ft_starts *starts)
{
    if (starts && --starts->users == 0)
        free(starts);
}

/* Returns the offset from which on entries like this one are for the subscription. */
static uint64_t start_of(const struct ft_subscription *sub, const struct ft_publication *p)
{
    return sub->starts && p->stream < sub->starts->count ? sub->starts->at[p->stream] : sub->from;
}

/* ---- how feeds begin and end ---- */

/* Returns the session's feed, made on need where it is live. */
static struct ft_feed *feed_of(struct ft_session *s)
{
    if (!s->feed) {
        s->feed = ft_alloc_zero(sizeof(*s->feed));
        s->feed->session = s;
        s->feed->cursor = s->asker.worker->cursor;
        list_add(s->asker.worker, s->feed);
    }
    return s->feed;
}

void ft_feed_resume(struct ft_session *s, uint64_t offset)
{
    struct ft_feed *feed = feed_of(s);
    if (offset >= feed->cursor)
        return;
    feed->is_counting = false;
    for (struct ft_subscription *sub = s->subscriptions; sub; sub = sub->next) {
        if (sub->had < feed->cursor)
            sub->had = feed->cursor;
    }
    feed->cursor = offset;
}

void ft_feed_know(struct ft_session *s, const struct ft_place *places, uint32_t n)
{
    free(s->feed->floor);
    s->feed->floor = ft_floor_new(places, n);
}

static void free_snapshot(struct ft_snapshot *snapshot)
{
    ft_starts_release(snapshot->starts);
    free(snapshot);
}

uint32_t ft_feed_add_snapshot(struct ft_session *s, const struct ft_snapshot *wanted)
{
    struct ft_snapshot *snapshot = ft_alloc(sizeof(*snapshot));
    *snapshot = *wanted;
    (void)ft_starts_use(snapshot->starts);
    if (++s->asker.worker->snapshots == 0)
        s->asker.worker->snapshots++; /* 0 is none */
    snapshot->number = s->asker.worker->snapshots;
    struct ft_snapshot **at = &feed_of(s)->snapshots;
    while (*at && (*at)->at <= snapshot->at)
        at = &(*at)->next;
    snapshot->next = *at;
    *at = snapshot;
    return snapshot->number;
}

static struct ft_snapshot **find_snapshot(struct ft_feed *feed, uint32_t number)
{
    struct ft_snapshot **at = &feed->snapshots;
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

void ft_feed_assign(struct ft_subscription *subscription, uint32_t number)
{
    struct ft_feed *feed = subscription->session->feed;
    uint32_t before = subscription->snapshot;
    subscription->snapshot = number;
    if (!feed || before == number)
        return;
    struct ft_snapshot **at = find_snapshot(feed, number), *gone;
    if (*at)
        (*at)->users++;
    at = find_snapshot(feed, before);
    if (!*at || --(*at)->users > 0)
        return;
    gone = *at;
    *at = gone->next;
    free_snapshot(gone);
}

void ft_feed_park(struct ft_session *s, const struct ft_run *run)
{
    FT_ASSERT(!s->feed);
    struct ft_feed *feed = feed_of(s);
    feed->is_parked = feed->is_counting = true;
    ft_count(s->asker.worker->metrics.sessions_parked, 1);
    ft_count(s->asker.worker->metrics.parkings, 1);
    feed->cursor = feed->counted_from = run->offset - 1;
    feed->counted = run->count;
    s->outbox.newest_only = true;
}

void ft_feed_uncount(struct ft_session *s)
{
    if (s->feed)
        s->feed->is_counting = false;
}

void ft_feed_pass(struct ft_feed *feed, const struct ft_run *run)
{
    feed->counted += run->count;
}

bool ft_feed_skip(struct ft_feed *feed, uint64_t tail, uint64_t *lost)
{
    /* Since it was parked everything was for it: then what it misses was, too. */
    const struct ft_worker *w = feed->session->asker.worker;
    bool is_known = feed->is_counting && feed->counted == w->cursor - feed->counted_from;
    *lost += tail - feed->cursor;
    feed->cursor = tail;
    return is_known;
}

static void drop_snapshot(struct ft_feed *feed)
{
    struct ft_snapshot *snapshot = feed->snapshots;
    feed->snapshots = snapshot->next;
    free_snapshot(snapshot);
}

void ft_feed_end(struct ft_session *s)
{
    struct ft_feed *feed = s->feed;
    if (!feed)
        return;
    while (feed->snapshots)
        drop_snapshot(feed);
    list_remove(s->asker.worker, feed);
    if (feed->is_parked)
        ft_uncount(s->asker.worker->metrics.sessions_parked, 1);
    s->outbox.newest_only = false;
    s->feed = NULL;
    free(feed->floor);
    free(feed);
}

/* ---- snapshots ---- */

/* Says whether the journal brings it to those for whom the snapshot is. */
static bool is_to_come(const struct ft_snapshot *snapshot, const struct ft_publication *p)
{
    const struct ft_starts *starts = snapshot->starts;
    return starts && ft_publication_is_counted(p) && p->stream < starts->count &&
           p->offset > starts->at[p->stream];
}

/* Returns the event of a publication in a snapshot, with an id of the session's own where streams are many: the
 * one that all share may be older than streams that the session knows. Those that begin at different places say
 * nothing by an offset, and so it has none. */
static struct ft_slice own_event(struct ft_session *s, const struct ft_snapshot *snapshot,
                                 const struct ft_pick *pick, struct ft_slice event)
{
    const struct ft_journal *journal = s->asker.worker->hub->journal;
    struct ft_place places[FT_PARTITIONS_MAX];
    uint32_t n = 0;
    if (!snapshot->starts && !pick->is_copy && ft_publication_is_counted(pick->publication))
        n = ft_streams_places(ft_journal_peek_streams(journal), NULL, pick->publication->offset,
                              places);
    for (uint32_t i = 0; i < n; i++)
        places[i].is_later = false;
    return ft_reply_event(s, event, places, n);
}

/* Queues one publication of a snapshot. */
static void push_pick(struct ft_session *s, const struct ft_snapshot *snapshot,
                      const struct ft_pick *pick)
{
    struct ft_slice frame =
        ft_rewind_frame(&s->asker.worker->rewind, pick, (enum ft_frames)s->frames);
    bool is_own =
        s->frames == FT_FRAMES_EVENTS && ft_journal_streams(s->asker.worker->hub->journal) > 0;
    if (is_to_come(snapshot, pick->publication))
        return;
    if (is_own)
        frame = own_event(s, snapshot, pick, frame);
    if (pick->is_retained)
        ft_reply_retained(s, frame);
    else if (pick->is_copy || is_own)
        ft_reply_frame(s, frame);
    else
        ft_session_queue(s, pick->publication, frame.len);
}

/* Goes on with the session's first snapshot. To find where it goes on costs a look at all topics, so
 * that a step takes more than one write at a time. Returns what it counts. */
static size_t step_snapshot(struct ft_feed *feed)
{
    struct ft_session *s = feed->session;
    struct ft_worker *w = s->asker.worker;
    size_t half = w->options->queue_bytes / 2, room = half < TURN_BYTES ? half : TURN_BYTES;
    struct ft_snapshot *snapshot = feed->snapshots;
    struct ft_rewind_want want = {
        .after = snapshot->after,
        .upto = snapshot->upto,
        .last = snapshot->last,
        .retained = snapshot->retained,
        .now_ds = w->now_ds,
    };
    char filter[FT_TOPIC_BYTES_MAX];
    ft_rewind_begin(&w->rewind, w->hub->journal, &want);
    for (struct ft_subscription *sub = s->subscriptions; sub; sub = sub->next) {
        if (sub->snapshot == snapshot->number)
            ft_rewind_add(&w->rewind,
                          ft_slice(filter, ft_topic_trie_filter_of(w->trie, &sub->sub, filter)));
    }
    size_t before = s->outbox.bytes;
    struct ft_pick pick;
    while (s->outbox.bytes < room && ft_rewind_next(&w->rewind, &pick)) {
        push_pick(s, snapshot, &pick);
        snapshot->has_old = snapshot->has_old || pick.is_retained || pick.is_copy;
    }
    snapshot->after = ft_rewind_end(&w->rewind);
    if (snapshot->after == UINT64_MAX) {
        if (snapshot->has_old && !snapshot->starts)
            ft_reply_event_id(s, snapshot->upto);
        drop_snapshot(feed);
    }
    return s->outbox.bytes - before + LOOK_BYTES;
}

/* ---- what the journal holds ---- */

/* Adds the session's subscriptions that match to worker->matched. */
static uint32_t match(struct ft_session *s, const struct ft_publication *p)
{
    struct ft_worker *w = s->asker.worker;
    const struct ft_trie_set *sets;
    uint32_t n = ft_topic_trie_match(w->trie, ft_publication_topic(p), &sets), count = 0;
    for (struct ft_subscription *sub = s->subscriptions; n > 0 && sub; sub = sub->next) {
        uint32_t i = 0;
        while (i < n && sets[i].node != sub->sub.node_)
            i++;
        if (i == n)
            continue;
        if (w->matched_len == w->matched_cap) {
            w->matched_cap = w->matched_cap ? 2 * w->matched_cap : 64;
            w->matched = ft_realloc(w->matched, w->matched_cap * sizeof(*w->matched));
        }
        w->matched[w->matched_len++] = sub;
        count++;
    }
    return count;
}

/* Returns what the topic of a publication means to the session, looked up once a step. */
static const struct ft_feed_memo *memo_of(struct ft_session *s, const struct ft_publication *p)
{
    struct ft_worker *w = s->asker.worker;
    struct ft_feed_memo *memo = &w->memos[p->topic_hash % FT_FEED_MEMOS];
    if (memo->example && memo->topic_hash == p->topic_hash &&
        ft_slice_equal(ft_publication_topic(memo->example), ft_publication_topic(p)))
        return memo;
    memo->topic_hash = p->topic_hash;
    memo->example = p;
    memo->first = w->matched_len;
    memo->count = match(s, p);
    return memo;
}

static void forget_memos(struct ft_worker *w)
{
    for (uint32_t i = 0; i < FT_FEED_MEMOS; i++)
        w->memos[i].example = NULL;
    w->matched_len = 0;
}

/* Says whether a slow reader is spared it, because a newer one is on its way. */
static bool is_left_out(const struct ft_feed *feed, const struct ft_publication *p)
{
    return feed->is_parked && p->slow == FT_SLOW_LATEST &&
           atomic_load_explicit(&p->is_superseded, memory_order_relaxed);
}

/* Queues a publication if the session is to get it: the rule in feed.h. */
static void take(struct ft_feed *feed, const struct ft_publication *p)
{
    struct ft_session *s = feed->session;
    struct ft_worker *w = s->asker.worker;
    if (p->is_ephemeral || ft_publication_is_expired(p, w->now_ds))
        return; /* it was for those who were there, or its time is over */
    const struct ft_feed_memo *memo = memo_of(s, p);
    bool is_wanted = false, is_direct = false;
    struct ft_throttle *shortest = NULL;
    for (uint32_t i = memo->first; i < memo->first + memo->count; i++) {
        const struct ft_subscription *sub = w->matched[i];
        if (p->entry == FT_ENTRY_WARM && !(sub->starts && p->offset <= sub->starts->live))
            continue; /* it was accepted before the subscription was there */
        uint64_t start = start_of(sub, p);
        if (p->offset <= start)
            continue;
        if (p->offset <= sub->had)
            return; /* it has come already */
        is_wanted = true;
        if (!sub->throttle)
            is_direct = true;
        else if (!shortest || sub->throttle->every_ms < shortest->every_ms)
            shortest = sub->throttle;
    }
    if (!is_wanted)
        return;
    if (is_left_out(feed, p)) {
        ft_count(&w->metrics.deliveries_dropped[FT_DROP_LATEST], 1);
        return;
    }
    size_t bytes = ft_journal_frame(w->hub->journal, p, (enum ft_frames)s->frames).len;
    /* What another way holds back may be an older one of this topic. */
    ft_throttles_flush_topic(s, p->topic_hash, is_direct ? NULL : shortest);
    if (is_direct)
        ft_session_queue(s, p, bytes);
    else
        ft_throttle_offer(shortest, p, bytes);
}

/* Returns the journal offset at which it was asked for. Of what was lost before that its `ok` has told. */
static uint64_t asked_at(const struct ft_subscription *sub)
{
    return sub->starts ? sub->starts->live : sub->from;
}

/* Tells of a gap in a stream that the session was listening to. */
static void take_gap(struct ft_feed *feed, const struct ft_publication *gap)
{
    struct ft_session *s = feed->session;
    const struct ft_subscription *sub = s->subscriptions;
    while (sub && !(asked_at(sub) < gap->offset && sub->had < gap->offset &&
                    ft_subscription_touches(sub, gap->stream)))
        sub = sub->next;
    if (!sub)
        return;
    ft_throttles_flush(s);
    ft_reply_gap_of(s, gap);
}

/* Moves the cursor on until a write is full, or it has come to `upto`. Returns what it counts. */
static size_t step_journal(struct ft_feed *feed, uint64_t upto)
{
    struct ft_session *s = feed->session;
    struct ft_worker *w = s->asker.worker;
    struct ft_journal *journal = w->hub->journal;
    size_t room = w->options->flush_bytes, before = s->outbox.bytes, looks = 0;
    forget_memos(w);
    while (feed->cursor < upto && looks < STEP_LOOKS) {
        const struct ft_publication *p = ft_journal_peek(journal, feed->cursor + 1);
        if (s->outbox.bytes > 0 && s->outbox.bytes + (p ? p->size_ : 0) > room)
            break; /* one write takes what there is now, two would not be worth it */
        if (!p) {
            uint64_t lost = 0, tail = ft_journal_tail(journal);
            bool is_known = ft_feed_skip(feed, tail, &lost);
            ft_reply_gap(s, is_known ? &lost : NULL, feed->cursor);
            continue;
        }
        feed->cursor++;
        looks++;
        if (p->entry <= FT_ENTRY_WARM)
            take(feed, p);
        else if (p->entry == FT_ENTRY_GAP)
            take_gap(feed, p);
    }
    return s->outbox.bytes - before + looks * LOOK_BYTES;
}

/* ---- taking turns ---- */

/* Lets one feed go on a step. Returns what it counts. */
static size_t serve(struct ft_feed *feed)
{
    struct ft_session *s = feed->session;
    struct ft_worker *w = s->asker.worker;
    if (s->is_blocked)
        return 0; /* comes back when it is not: ft_session_writable() */
    /* A snapshot has positions up to where it was taken. Whoever has seen them resumes from there: so all
     * of before has to come first. */
    uint64_t upto = feed->snapshots ? feed->snapshots->at : w->cursor;
    bool is_there = feed->snapshots && feed->cursor >= upto;
    size_t used = is_there ? step_snapshot(feed) : step_journal(feed, upto);
    if (!feed->snapshots && feed->cursor >= w->cursor) {
        ft_throttles_flush(s); /* which filter a topic came by may change now */
        ft_feed_end(s);
        ft_reply_event_id(s, w->cursor); /* all of the past has come */
    }
    ft_session_flush(s);
    if (s->feed && !s->is_blocked)
        list_add(w, s->feed);
    return used > STEP_BYTES ? used : STEP_BYTES;
}

bool ft_feeds_serve(struct ft_worker *w)
{
    size_t used = 0;
    while (w->feeds && used < TURN_BYTES) {
        struct ft_feed *feed = w->feeds;
        list_remove(w, feed);
        used += serve(feed);
    }
    return !w->feeds;
}
