/*
 * The batch of a turn: what was taken in and has no number yet, who waits for it, and who has to wait until
 * there is room. What goes to other nodes first is in outgoing.c. The worker's thread.
 */
#include "broker/hub/outgoing.h"

#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/hub/worker.h"
#include "protocol/number.h"

/* Bytes of publications that are numbered under one lock. */
#define SLICE_BYTES ((size_t)256 * 1024)

static void batch_grow(struct ft_worker *w)
{
    w->batch_cap = w->batch_cap ? 2 * w->batch_cap : FT_BATCH_MAX;
    w->batch = ft_realloc(w->batch, w->batch_cap * sizeof(*w->batch));
    w->pending = ft_realloc(w->pending, w->batch_cap * sizeof(*w->pending));
}

/* Says what became of a publication that the journal took, or knew. */
static void outcome_of(const struct ft_worker *w, const struct ft_publication *p,
                       char text[FT_POS_LEN_MAX], struct ft_outcome *outcome)
{
    *outcome = (struct ft_outcome){.is_duplicate = p->is_duplicate};
    if (p->is_ephemeral)
        return;
    if (!p->is_duplicate) {
        outcome->pos = ft_publication_pos(p);
        return;
    }
    memcpy(text, ft_journal_stream(w->hub->journal), FT_STREAM_NAME_LEN);
    text[FT_STREAM_NAME_LEN] = '.';
    size_t digits = ft_uint_print(p->offset, text + FT_STREAM_NAME_LEN + 1);
    outcome->pos = ft_slice(text, FT_STREAM_NAME_LEN + 1 + digits);
}

/* Tells those who asked what number their publishes got; and other nodes of what is ephemeral. */
static void acknowledge(struct ft_worker *w, struct ft_publication *const *batch,
                        struct ft_pending *pending, uint32_t n)
{
    char text[FT_STREAM_NAME_LEN + 1 + FT_UINT_TEXT_MAX];
    struct ft_outcome outcome;
    for (uint32_t i = 0; i < n; i++) {
        if (w->outgoing && !batch[i]->is_duplicate)
            ft_outgoing_tell(w, batch[i]);
        struct ft_asker *asker = pending[i].asker;
        if (!asker)
            continue;
        asker->unacked--;
        struct ft_id id = pending[i].id;
        if (id.kind == FT_ID_STR)
            id.str.ptr = pending[i].text;
        outcome_of(w, batch[i], text, &outcome);
        asker->ops->published(asker, id, &outcome);
    }
}

void ft_worker_hold(struct ft_asker *asker)
{
    struct ft_worker *w = asker->worker;
    if (asker->held_at)
        return;
    if (w->held_len == w->held_cap) {
        w->held_cap = w->held_cap ? 2 * w->held_cap : 64;
        w->held = ft_realloc(w->held, w->held_cap * sizeof(*w->held));
    }
    w->held[w->held_len++] = asker;
    asker->held_at = w->held_len;
    asker->ops->hold(asker, true);
}

void ft_worker_let_go(struct ft_worker *w)
{
    if (w->held_len == 0 || w->is_stalled || ft_outgoing_is_crowded(w))
        return;
    for (uint32_t i = 0; i < w->held_len; i++) {
        struct ft_asker *asker = w->held[i];
        if (!asker)
            continue;
        asker->held_at = 0;
        asker->ops->hold(asker, false);
    }
    w->held_len = 0;
}

/* Returns how many of the batch, from `done` on, are numbered under one lock: so few that nobody waits
 * long for it, and that even the smallest journal is a multiple of them. */
static uint32_t next_slice(const struct ft_worker *w, uint32_t done)
{
    uint32_t n = 0;
    for (size_t bytes = 0; done + n < w->batch_len && n < FT_BATCH_MAX && bytes < SLICE_BYTES; n++)
        bytes += w->batch[done + n]->size_;
    return n;
}

bool ft_worker_commit(struct ft_worker *w)
{
    uint32_t done = 0;
    while (done < w->batch_len) {
        uint32_t n = next_slice(w, done);
        if (!ft_journal_append(w->writer, w->batch + done, n, w->now_s))
            break;
        acknowledge(w, w->batch + done, w->pending + done, n);
        done += n;
    }
    if (done > 0) {
        w->has_appended = true;
        w->batch_len -= done;
        memmove(w->batch, w->batch + done, w->batch_len * sizeof(*w->batch));
        memmove(w->pending, w->pending + done, w->batch_len * sizeof(*w->pending));
    }
    if (w->batch_len > 0) {
        if (!w->is_stalled && ft_log_is_on(FT_LOG_DEBUG))
            ft_log(FT_LOG_DEBUG, "journal_full", "worker=%u waiting=%u", w->index, w->batch_len);
        w->is_stalled = true;
        return false;
    }
    w->is_stalled = false;
    return true;
}

struct ft_pending *ft_worker_publish(struct ft_worker *w, struct ft_publication_spec *spec)
{
    if (w->batch_len == w->batch_cap)
        batch_grow(w);
    spec->at_ms = w->now_ms;
    spec->accepted_s = w->now_s;
    spec->taken_us = (uint32_t)w->turn_us;
    spec->stream_index = w->outgoing ? FT_STREAM_NONE : 0;
    w->batch[w->batch_len] = ft_journal_build(w->writer, spec);
    struct ft_pending *pending = &w->pending[w->batch_len++];
    pending->asker = NULL;
    return pending;
}

void ft_worker_publish_for(struct ft_asker *asker, struct ft_id id,
                           struct ft_publication_spec *spec)
{
    struct ft_worker *w = asker->worker;
    struct ft_pending *pending = ft_worker_publish(w, spec);
    if (id.kind != FT_ID_NONE) {
        pending->asker = asker;
        pending->id = id;
        if (id.kind == FT_ID_STR)
            memcpy(pending->text, id.str.ptr, id.str.len);
        asker->unacked++;
    }
    if (w->is_stalled || (w->batch_len >= FT_BATCH_MAX && !ft_worker_commit(w)))
        ft_worker_hold(asker);
}

void ft_worker_forget_pending(struct ft_asker *asker)
{
    struct ft_worker *w = asker->worker;
    for (uint32_t i = 0; asker->unacked > 0 && i < w->batch_len; i++) {
        if (w->pending[i].asker == asker) {
            w->pending[i].asker = NULL;
            asker->unacked--;
        }
    }
    ft_outgoing_forget(asker);
    asker->unacked = 0;
    if (asker->held_at)
        w->held[asker->held_at - 1] = NULL;
    asker->held_at = 0;
}
