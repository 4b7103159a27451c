/*
 * Sessions: from the first frame to the last, the outbox and its bound. What the envelopes mean is in
 * on_*.c, signs of life are in session_timer.c; how a frame reaches a socket is behind struct ft_conn_ops. The
 * worker's thread.
 */
#include "broker/hub/session.h"

#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/core/trie_node.h"
#include "broker/hub/feed.h"
#include "broker/hub/presence.h"
#include "broker/hub/reply.h"
#include "broker/hub/throttle.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"

#include <stdio.h>
#include <stdlib.h>

/* How long a peer may take to answer a close frame. */
#define CLOSE_WAIT_MS 2000

static struct ft_session *session_of(struct ft_asker *asker)
{
    return (struct ft_session *)((char *)asker - offsetof(struct ft_session, asker));
}

static void asker_published(struct ft_asker *asker, struct ft_id id,
                            const struct ft_outcome *outcome)
{
    struct ft_session *s = session_of(asker);
    ft_reply_published(s, id, outcome);
    if (s->stall)
        ft_stall_answered(s);
}

static void asker_hold(struct ft_asker *asker, bool on)
{
    ft_session_pause(session_of(asker), FT_PAUSED_JOURNAL, on);
}

static const struct ft_asker_ops asker_ops = {.published = asker_published, .hold = asker_hold};

void ft_session_open(struct ft_session *s, struct ft_worker *worker,
                     const struct ft_session_options *options)
{
    ft_asker_init(&s->asker, worker, &asker_ops, options->who);
    ft_asker_limit(&s->asker, FT_QUOTA_ADDRESS, options->address);
    ft_asker_limit(&s->asker, FT_QUOTA_USER, options->user);
    s->frames = (uint8_t)options->frames;
    s->ops = options->ops;
    s->conn = options->conn;
    ft_count(&worker->metrics.sessions[s->frames], 1);
    ft_count(&worker->metrics.sessions_opened[s->frames], 1);
    ft_worker_new_session_id(worker, s->id);
    if (worker->now_ms > worker->hub->started_ms) /* unless the clock was set back */
        s->opened_ds = (uint32_t)((worker->now_ms - worker->hub->started_ms) / 100);
    ft_roster_add(&worker->sessions, s);
    s->heard = ft_wheel_now(&worker->wheel);
    ft_session_watch(s);
    if (s->frames != FT_FRAMES_EVENTS)
        ft_reply_welcome(s);
}

static void drop_partial(struct ft_session *s)
{
    free(s->partial);
    s->partial = NULL;
    s->partial_len = 0;
}

/* Keeps the worker's sum of what waits. There is something only where the socket is full. */
static void count_waiting(struct ft_session *s)
{
    if (s->outbox.bytes == s->counted_bytes)
        return;
    ft_count(s->asker.worker->metrics.outbox_bytes, s->outbox.bytes - s->counted_bytes);
    s->counted_bytes = s->outbox.bytes;
}

void ft_session_gone(struct ft_session *s)
{
    struct ft_worker *w = s->asker.worker;
    if (s->stall)
        ft_stall_drop(s);
    ft_session_unsubscribe_all(s);
    ft_outbox_clear(&s->outbox, &w->pool);
    count_waiting(s);
    ft_wheel_cancel(&s->timer);
    drop_partial(s);
    if (s->dirty_at)
        w->dirty[s->dirty_at - 1] = NULL;
    ft_roster_remove(&w->sessions, s);
    ft_uncount(&w->metrics.sessions[s->frames], 1);
    for (int kind = 0; kind < FT_QUOTA_KINDS; kind++)
        ft_quota_give(ft_asker_share(&s->asker, (enum ft_quota_kind)kind), FT_QUOTA_CONNECTIONS, 1);
    ft_asker_fini(&s->asker);
}

/* ---- receiving ---- */

void ft_session_heard(struct ft_session *s)
{
    s->heard = ft_wheel_now(&s->asker.worker->wheel);
    s->was_pinged = false;
}

static void end_too_large(struct ft_session *s)
{
    char reason[64];
    snprintf(reason, sizeof(reason), "a message may have %zu bytes at most",
             s->asker.worker->options->message_bytes);
    ft_session_end(s, 1009, reason);
}

/* Returns how much memory there is for so many bytes of a message in the making: a power of two, so that
 * it need not be noted. */
static size_t partial_cap(size_t len)
{
    size_t cap = 1024;
    while (cap < len)
        cap *= 2;
    return cap;
}

/* Adds a piece to the message in the making. The memory grows with what has come, not with what was
 * announced. */
static void add_piece(struct ft_session *s, struct ft_slice piece)
{
    size_t len = s->partial_len + piece.len, cap = partial_cap(len);
    if (!s->partial || cap > partial_cap(s->partial_len))
        s->partial = ft_realloc(s->partial, cap);
    if (piece.len > 0)
        memcpy(s->partial + s->partial_len, piece.ptr, piece.len);
    s->partial_len = (uint32_t)len;
}

void ft_session_pinged(struct ft_session *s, struct ft_slice payload)
{
    if (s->is_ending)
        return;
    ft_session_heard(s);
    ft_reply_pong(s, payload);
}

void ft_session_receive(struct ft_session *s, const struct ft_piece *piece)
{
    if (s->is_ending)
        return;
    ft_session_heard(s);
    if (piece->is_first && piece->is_text != (s->frames == FT_FRAMES_JSON)) {
        ft_session_end(s, 1003,
                       piece->is_text ? "this connection speaks MessagePack, in binary messages"
                                      : "this connection speaks JSON, in text messages");
        return;
    }
    size_t max = s->asker.worker->options->message_bytes;
    if (piece->to_come > max || s->partial_len + piece->bytes.len + piece->to_come > max) {
        drop_partial(s);
        end_too_large(s);
        return;
    }
    if (piece->is_last && s->partial_len == 0) {
        ft_handle_message(s, piece->bytes);
        return;
    }
    add_piece(s, piece->bytes);
    if (piece->is_last) {
        ft_handle_message(s, ft_slice(s->partial, s->partial_len));
        drop_partial(s);
    }
}

void ft_session_pause(struct ft_session *s, uint8_t reason, bool on)
{
    uint8_t was = s->paused;
    s->paused = on ? was | reason : was & (uint8_t)~reason;
    if (!was != !s->paused)
        s->ops->pause(s->conn, s->paused != 0);
}

/* ---- sending ---- */

bool ft_session_is_over(const struct ft_session *s)
{
    return s->is_blocked && s->outbox.bytes > s->asker.worker->options->queue_bytes;
}

void ft_session_queue(struct ft_session *s, const struct ft_publication *p, size_t bytes)
{
    if (s->is_too_slow)
        return; /* nothing may come behind what was left out: see ft_session_deliver() */
    if (s->feed && s->feed->floor && s->frames == FT_FRAMES_EVENTS) {
        ft_reply_known(s, p);
        return;
    }
    ft_outbox_push_run(&s->outbox, &s->asker.worker->pool, p->offset, 1, bytes);
    ft_worker_mark_dirty(s->asker.worker, s);
}

/* It is too slow for `run`: from here on its feed brings what it is to get. */
static void park(struct ft_session *s, const struct ft_run *run)
{
    ft_throttles_flush(s);
    ft_feed_park(s, run);
}

void ft_session_deliver(struct ft_session *s, struct ft_run *run, struct ft_throttle *throttle)
{
    enum ft_frames frames = (enum ft_frames)s->frames;
    bool is_over = ft_session_is_over(s);
    if (s->is_too_slow)
        return; /* or a later position would make the client believe that it has had everything */
    if (is_over && run->slow == FT_SLOW_DISCONNECT) {
        s->is_too_slow = true; /* ended as it is flushed: not while its subscriptions are walked */
        ft_worker_mark_dirty(s->asker.worker, s);
    } else if (s->feed) {
        ft_feed_pass(s->feed, run);
    } else if (is_over) {
        park(s, run);
    } else if (throttle) {
        const struct ft_publication *newest =
            ft_journal_peek(run->journal, run->offset + run->count - 1);
        ft_count(&s->asker.worker->metrics.deliveries_dropped[FT_DROP_EVERY], run->count - 1);
        ft_throttle_offer(throttle, newest, ft_journal_frame(run->journal, newest, frames).len);
    } else {
        ft_outbox_push_run(&s->outbox, &s->asker.worker->pool, run->offset, run->count,
                           ft_run_bytes(run, frames));
        ft_worker_mark_dirty(s->asker.worker, s);
    }
}

void ft_session_writable(struct ft_session *s)
{
    s->is_blocked = false;
    if (s->feed)
        ft_feed_wake(s->feed);
    ft_worker_mark_dirty(s->asker.worker, s);
}

/* Applies what follows from a socket that takes nothing. */
static void check_bounds(struct ft_session *s)
{
    /* Whoever does not read its replies is not read either, before they are many. */
    ft_session_pause(s, FT_PAUSED_OUTBOX,
                     s->is_blocked && !s->is_ending &&
                         s->outbox.own_bytes > s->asker.worker->options->queue_bytes / 2);
}

/* What it has still to get is not kept any more: it is told how much it misses, where that is known,
 * and goes on behind it. */
static void lose(struct ft_session *s)
{
    struct ft_worker *w = s->asker.worker;
    uint64_t tail = ft_journal_tail(w->hub->journal);
    struct ft_lost lost =
        ft_outbox_drop_lost(&s->outbox, &w->pool, w->hub->journal, (enum ft_frames)s->frames, tail);
    bool is_known = !lost.gap;
    if (lost.gap)
        lost.last = tail;
    if (s->feed && s->feed->cursor < tail) { /* then nothing waits but replies: it is one gap */
        is_known = ft_feed_skip(s->feed, tail, &lost.count) && is_known;
        lost.last = tail;
    }
    ft_reply_gap_in_front(s, is_known ? &lost.count : NULL, lost.last);
}

static void count_written(struct ft_session *s)
{
    struct ft_worker *w = s->asker.worker;
    ft_count(&w->metrics.deliveries[s->frames], w->pool.gathered.publications);
    ft_count(&w->metrics.deliveries_bytes[s->frames], w->pool.gathered.bytes);
}

void ft_session_flush(struct ft_session *s)
{
    struct ft_worker *w = s->asker.worker;
    if (s->is_too_slow) /* it was, even if it reads again by now: something was not queued for it */
        ft_session_end(s, 4508, "slow consumer: limits.queue bytes are unsent");
    while (!s->is_blocked) {
        struct ft_slice bytes;
        enum ft_gathered gathered = ft_outbox_gather(&s->outbox, &w->pool, w->hub->journal,
                                                     (enum ft_frames)s->frames, &bytes);
        if (gathered == FT_GATHERED_NOTHING)
            break;
        if (gathered == FT_GATHERED_LOST) {
            lose(s);
            continue;
        }
        enum ft_write_result result = s->ops->write(s->conn, bytes);
        if (result == FT_WRITE_DEAD) {
            s->is_ending = s->is_blocked = true;
            ft_outbox_clear(&s->outbox, &w->pool);
            s->ops->kill(s->conn);
            return;
        }
        count_written(s);
        if (result == FT_WRITE_BLOCKED)
            ft_session_blocked(s);
    }
    count_waiting(s);
    if (s->is_ending && !s->is_blocked && s->frames == FT_FRAMES_EVENTS)
        s->ops->finish(s->conn, false); /* nothing more comes, and nobody answers a `bye` */
    if (s->is_blocked || s->paused)
        check_bounds(s);
}

void ft_session_end(struct ft_session *s, uint16_t close_code, const char *reason)
{
    if (s->is_ending)
        return;
    s->is_ending = true;
    ft_log(FT_LOG_DEBUG, "session_end", "session=%.*s code=%u reason=\"%s\"", FT_SESSION_ID_LEN,
           s->id, close_code, reason);
    if (s->stall)
        ft_stall_drop(s);
    ft_session_unsubscribe_all(s);
    /* A blocked peer would get its backlog before the close frame, and so perhaps never. */
    if (s->is_blocked)
        ft_outbox_clear(&s->outbox, &s->asker.worker->pool);
    if (s->frames == FT_FRAMES_EVENTS)
        ft_reply_bye(s, close_code, reason);
    else
        ft_reply_close(s, close_code, reason);
    ft_session_pause(s, FT_PAUSED_JOURNAL | FT_PAUSED_OUTBOX | FT_PAUSED_RELAY, false);
    ft_wheel_set(&s->asker.worker->wheel, &s->timer, CLOSE_WAIT_MS);
}

void ft_session_peer_closed(struct ft_session *s, uint16_t code)
{
    if (s->is_ending)
        return; /* it is the answer to our own close frame */
    ft_worker_settle(
        s->asker.worker); /* a publish may have come in the same segment: acknowledge it */
    if (s->stall)
        ft_stall_drop(s);
    ft_session_unsubscribe_all(s);
    ft_reply_close(s, code, "");
    ft_session_flush(s);
    s->is_ending = true;
}

void ft_session_failed(struct ft_session *s)
{
    if (s->is_ending)
        return;
    ft_session_end(s, 1002, "that is not a frame that may come here");
    ft_session_flush(s);
}

/* ---- subscriptions ---- */

struct ft_subscription *ft_session_find(struct ft_session *s, struct ft_slice filter)
{
    const struct ft_trie_node *node = ft_topic_trie_find(s->asker.worker->trie, filter);
    if (!node)
        return NULL;
    struct ft_trie_set set = ft_trie_node_set(node);
    if (set.count > s->subscription_count) { /* look where there are fewer */
        struct ft_subscription *subscription = s->subscriptions;
        while (subscription && subscription->sub.node_ != node)
            subscription = subscription->next;
        return subscription;
    }
    for (uint32_t i = 0; i < set.count; i++) {
        struct ft_subscription *subscription = (struct ft_subscription *)set.subs[i];
        if (subscription->session == s)
            return subscription;
    }
    return NULL;
}

/* Takes a subscription from both shares, or none. */
static enum ft_err take_share(struct ft_session *s, struct ft_problem *problem)
{
    struct ft_quota_share *address = ft_asker_share(&s->asker, FT_QUOTA_ADDRESS);
    enum ft_err err = ft_quota_take(address, FT_QUOTA_SUBSCRIPTIONS, 1, problem);
    if (err != FT_OK)
        return err;
    err =
        ft_quota_take(ft_asker_share(&s->asker, FT_QUOTA_USER), FT_QUOTA_SUBSCRIPTIONS, 1, problem);
    if (err != FT_OK)
        ft_quota_give(address, FT_QUOTA_SUBSCRIPTIONS, 1);
    return err;
}

enum ft_err ft_session_subscribe(struct ft_session *s, struct ft_slice filter,
                                 struct ft_problem *problem)
{
    enum ft_err err = take_share(s, problem);
    if (err != FT_OK)
        return err;
    struct ft_subscription *subscription = ft_alloc_zero(sizeof(*subscription));
    subscription->session = s;
    subscription->next = s->subscriptions;
    subscription->link = &s->subscriptions;
    if (subscription->next)
        subscription->next->link = &subscription->next;
    s->subscriptions = subscription;
    s->subscription_count++;
    ft_count(s->asker.worker->metrics.subscriptions, 1);
    ft_worker_add_sub(s->asker.worker, filter, &subscription->sub);
    subscription->from = subscription->had = s->asker.worker->cursor;
    ft_feed_uncount(s);
    return FT_OK;
}

void ft_session_unsubscribe(struct ft_subscription *subscription)
{
    struct ft_session *s = subscription->session;
    *subscription->link = subscription->next;
    if (subscription->next)
        subscription->next->link = subscription->link;
    s->subscription_count--;
    ft_uncount(s->asker.worker->metrics.subscriptions, 1);
    for (int kind = 0; kind < FT_QUOTA_KINDS; kind++)
        ft_quota_give(ft_asker_share(&s->asker, (enum ft_quota_kind)kind), FT_QUOTA_SUBSCRIPTIONS,
                      1);
    ft_feed_uncount(s);
    ft_feed_assign(subscription, 0);
    ft_throttle_release(subscription->throttle);
    ft_hub_presence_end(subscription);
    ft_starts_release(subscription->starts);
    ft_worker_remove_sub(s->asker.worker, &subscription->sub);
    free(subscription);
    if (!s->subscriptions)
        ft_feed_end(s);
}

void ft_session_unsubscribe_all(struct ft_session *s)
{
    struct ft_subscription *next;
    for (struct ft_subscription *subscription = s->subscriptions; subscription;
         subscription = next) {
        next = subscription->next;
        ft_session_unsubscribe(subscription);
    }
}
