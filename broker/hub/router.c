/*
 * The fan-out: from a publication in the journal to the outboxes of the sessions whose filters match.
 * Copies nothing and writes nothing; it hands out offsets. One worker's thread.
 */
#include "broker/hub/router.h"

#include "broker/base/alloc.h"
#include "broker/hub/feed.h"
#include "broker/hub/places.h"
#include "broker/hub/reply.h"
#include "broker/hub/throttle.h"

/* Begins a run at `offset`, which is there, and extends it as far as topic and `last` allow. */
static void run_begin(struct ft_run *run, struct ft_journal *journal, uint64_t offset,
                      uint64_t last)
{
    const struct ft_publication *p = ft_journal_peek(journal, offset);
    *run = (struct ft_run){
        .journal = journal,
        .offset = offset,
        .count = 1,
        .slow = p->slow,
        .topic = ft_publication_topic(p),
    };
    while (offset + run->count <= last && run->count < FT_RUN_MAX) {
        p = ft_journal_peek(journal, offset + run->count);
        if (p->entry != FT_ENTRY_LIVE || !ft_slice_equal(ft_publication_topic(p), run->topic))
            break;
        run->count++;
    }
}

size_t ft_run_bytes(struct ft_run *run, enum ft_frames frames)
{
    if (!run->is_measured[frames]) {
        for (uint32_t i = 0; i < run->count; i++) {
            const struct ft_publication *p = ft_journal_peek(run->journal, run->offset + i);
            run->bytes[frames] += ft_journal_frame(run->journal, p, frames).len;
        }
        run->is_measured[frames] = true;
    }
    return run->bytes[frames];
}

/* ---- subscriptions with `every` ---- */

static void note_throttled(struct ft_worker *w, const struct ft_subscription *subscription)
{
    if (w->throttled_len == w->throttled_cap) {
        w->throttled_cap = w->throttled_cap ? 2 * w->throttled_cap : 64;
        w->throttled = ft_realloc(w->throttled, w->throttled_cap * sizeof(*w->throttled));
    }
    w->throttled[w->throttled_len++] = subscription;
}

/* Hands a run to the sessions that it did not reach directly, by the shortest of the
 * throttles that they have for it. */
static void offer(struct ft_worker *w, struct ft_run *run, uint64_t direct)
{
    uint64_t chosen = direct + 1;
    for (uint32_t i = 0; i < w->throttled_len; i++) {
        const struct ft_subscription *subscription = w->throttled[i];
        struct ft_session *session = subscription->session;
        if (session->match == direct)
            continue;
        if (session->match != chosen ||
            subscription->throttle->every_ms < session->chosen->every_ms)
            session->chosen = subscription->throttle;
        session->match = chosen;
    }
    for (uint32_t i = 0; i < w->throttled_len; i++) {
        struct ft_session *session = w->throttled[i]->session;
        if (session->match != chosen)
            continue;
        session->match = direct;
        ft_session_deliver(session, run, session->chosen);
    }
    w->throttled_len = 0;
}

/* ---- the fan-out ---- */

/* Hands the run to every session that has a matching filter, once. */
static void route(struct ft_worker *worker, struct ft_run *run)
{
    const struct ft_trie_set *sets;
    uint32_t n = ft_topic_trie_match(worker->trie, run->topic, &sets);
    uint64_t match = worker->match_serial += 2;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < sets[i].count; k++) {
            const struct ft_subscription *subscription =
                (const struct ft_subscription *)sets[i].subs[k];
            struct ft_session *session = subscription->session;
            if (session->match == match)
                continue;
            if (subscription->throttle) {
                note_throttled(worker, subscription);
                continue;
            }
            session->match = match;
            ft_session_deliver(session, run, NULL);
        }
    }
    if (worker->throttled_len > 0)
        offer(worker, run, match);
}

/* ---- entries that nobody gets as they are ---- */

/* Tells a live session of a gap, once, whatever number of its filters can hear from there. */
static void tell(struct ft_session *s, const struct ft_publication *gap)
{
    const struct ft_subscription *sub = s->subscriptions;
    if (s->feed || s->is_too_slow)
        return; /* its feed comes there, or it ends */
    while (sub && !ft_subscription_touches(sub, gap->stream))
        sub = sub->next;
    if (!sub)
        return;
    ft_throttles_flush(s);
    if (!ft_session_is_over(s)) {
        ft_reply_gap_of(s, gap);
        return;
    }
    ft_feed_park(s, &(struct ft_run){.offset = gap->offset});
    ft_feed_uncount(s);
}

/* Passes an entry that is not live. */
static void pass(struct ft_worker *w, const struct ft_publication *p)
{
    for (uint32_t i = 0; p->entry == FT_ENTRY_GAP && i < w->sessions.count; i++)
        tell(w->sessions.entries[i].session, p);
    w->cursor++;
}

bool ft_router_run(struct ft_worker *worker, size_t bytes)
{
    struct ft_journal *journal = worker->hub->journal;
    uint64_t head = ft_journal_head(journal);
    if (ft_topic_trie_subs(worker->trie) == 0) {
        worker->cursor = head; /* nobody to route to */
        return true;
    }
    if (worker->cursor == head)
        return true;
    for (size_t routed = 0; worker->cursor < head && routed < bytes;) {
        struct ft_run run;
        const struct ft_publication *first = ft_journal_peek(journal, worker->cursor + 1);
        if (first->entry != FT_ENTRY_LIVE) {
            pass(worker, first);
            continue;
        }
        if (!worker->has_routed)
            worker->oldest_us = first->taken_us;
        worker->has_routed = true;
        run_begin(&run, journal, worker->cursor + 1, head);
        route(worker, &run);
        worker->cursor += run.count;
        for (int e = 0; e < FT_FRAMES_KINDS; e++)
            routed += run.bytes[e];
    }
    ft_journal_reader_at(worker->reader, worker->cursor);
    return worker->cursor == head;
}
