/*
 * A worker's turn: the order of commit, fan-out and flush, and who is woken. The batch of publishes is in
 * worker_batch.c. Does not know what loop runs it. Each worker is touched by its own thread only, but for is_asleep.
 */
#include "broker/hub/worker.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/hub/feed.h"
#include "broker/hub/outgoing.h"
#include "broker/hub/presence.h"
#include "broker/hub/reply.h"
#include "broker/hub/router.h"
#include "broker/hub/sys_stats.h"
#include "broker/hub/throttle.h"
#include "protocol/topic.h"

#include <stdlib.h>
#include <sys/random.h>

#define TICKS_PER_S (1000 / FT_WHEEL_TICK_MS)
/* Bounds that are reached again and again are one line in so many seconds. */
#define REPORT_EVERY_S 60
/* A turn of a flooded worker goes back to its sockets after so many rounds of fan-out. */
#define ROUNDS_MAX 8
/* Sessions that are fetched ahead of the one that is flushed: a flush takes longer than a fetch. */
#define PREFETCH_AHEAD 2
/* Ceiling of one reply. The largest is a history, which keeps to half of limits.queue but for one
 * message. */
#define REPLY_MAX ((size_t)1 << 31)
#define MARGIN    ((size_t)1024)

/* ---- options ---- */

static void settings_release(struct ft_hub *hub, struct ft_settings *settings)
{
    pthread_mutex_lock(&hub->lock);
    bool is_last = settings && --settings->users == 0;
    pthread_mutex_unlock(&hub->lock);
    if (!is_last)
        return;
    ft_policies_free(settings->options.policies);
    if (settings->options.free_http)
        settings->options.free_http(settings->options.http);
    free(settings);
}

void ft_hub_configure(struct ft_hub *hub, const struct ft_hub_options *options)
{
    struct ft_settings *settings = ft_alloc_zero(sizeof(*settings));
    settings->options = *options;
    settings->users = 1; /* for being the current ones */
    pthread_mutex_lock(&hub->lock);
    struct ft_settings *before = atomic_load(&hub->settings);
    atomic_store(&hub->settings, settings);
    pthread_mutex_unlock(&hub->lock);
    settings_release(hub, before);
}

size_t ft_hub_message_bytes(struct ft_hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    size_t bytes = atomic_load(&hub->settings)->options.message_bytes;
    pthread_mutex_unlock(&hub->lock);
    return bytes;
}

/* Goes by the current settings from here on. */
static void settings_take(struct ft_worker *w)
{
    if (atomic_load_explicit(&w->hub->settings, memory_order_acquire) == w->settings)
        return;
    struct ft_settings *before = w->settings;
    pthread_mutex_lock(&w->hub->lock);
    w->settings = atomic_load(&w->hub->settings);
    w->settings->users++;
    pthread_mutex_unlock(&w->hub->lock);
    w->options = &w->settings->options;
    w->scratch = ft_realloc(w->scratch, w->options->message_bytes + MARGIN);
    if (before && (ft_policies_have_presence(before->options.policies) ||
                   ft_policies_have_presence(w->options->policies)))
        ft_hub_presence_reconsider(w);
    settings_release(w->hub, before);
}

/* ---- the hub and its workers ---- */

static struct ft_worker *worker_new(struct ft_hub *hub, uint32_t index)
{
    struct ft_worker *w = ft_alloc_zero(sizeof(*w));
    w->hub = hub;
    w->index = index;
    w->writer = ft_journal_writer_new(hub->journal);
    w->reader = ft_journal_reader_new(hub->journal);
    uint64_t seed;
    FT_ASSERT(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
    w->trie = ft_topic_trie_new(seed);
    w->wants = hub->relay_ops ? ft_wants_new(hub->interest) : NULL;
    ft_stalls_init(&w->stalls);
    w->cursor = ft_journal_head(hub->journal);
    settings_take(w);
    ft_outbox_pool_init(&w->pool, w->options->flush_bytes);
    ft_buffer_init(&w->reply_buffer, REPLY_MAX);
    ft_buffer_init(&w->reply_head, REPLY_MAX);
    ft_rewind_init(&w->rewind);
    w->feeds_end = &w->feeds;
    w->flushes_end = &w->flushes;
    ft_mailbox_init(&w->mailbox);
    if (hub->relay_ops)
        w->outgoing = ft_open_batches_new(w);
    w->presence = ft_presence_desk_new(w);
    return w;
}

static void worker_free(struct ft_worker *w)
{
    ft_roster_fini(&w->sessions);
    ft_mailbox_fini(&w->mailbox);
    ft_open_batches_free(w->outgoing);
    ft_presence_desk_free(w->presence);
    ft_outbox_pool_fini(&w->pool);
    ft_buffer_fini(&w->reply_buffer);
    ft_buffer_fini(&w->reply_head);
    ft_topic_trie_free(w->trie);
    ft_wants_free(w->wants);
    ft_journal_writer_free(w->writer);
    ft_journal_reader_free(w->reader);
    free(w->batch);
    free(w->pending);
    free(w->dirty);
    free(w->held);
    free(w->throttled);
    free(w->matched);
    free(w->scratch);
    ft_rewind_fini(&w->rewind);
    settings_release(w->hub, w->settings);
    free(w);
}

struct ft_hub *ft_hub_new(const struct ft_hub_options *options, struct ft_journal *journal,
                          uint32_t count, const struct ft_hub_ports *ports)
{
    FT_ASSERT(count >= 1 && count <= FT_WORKERS_MAX);
    struct ft_hub *hub = ft_alloc_zero(sizeof(*hub));
    pthread_mutex_init(&hub->lock, NULL);
    ft_hub_configure(hub, options);
    hub->journal = journal;
    hub->loop_ops = ports->loop_ops;
    hub->loops = ports->loops;
    hub->gate_ops = ports->gate_ops;
    hub->gate = ports->gate;
    hub->quotas = ports->quotas;
    hub->relay_ops = ports->relay_ops;
    hub->relay = ports->relay;
    hub->interest = ports->interest;
    hub->worker_count = count;
    hub->presence = ft_hub_presence_new();
    for (uint32_t i = 0; i < count; i++)
        hub->workers[i] = worker_new(hub, i);
    hub->started_ms = ft_clock_wall_ms();
    hub->sys_stats = ft_sys_stats_new(hub->workers[0]);
    return hub;
}

void ft_hub_free(struct ft_hub *hub)
{
    if (!hub)
        return;
    ft_sys_stats_free(hub->sys_stats);
    ft_hub_presence_free(hub->presence);
    for (uint32_t i = 0; i < hub->worker_count; i++)
        worker_free(hub->workers[i]);
    settings_release(hub, atomic_load(&hub->settings));
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

/* ---- waking others ---- */

static void wake(struct ft_hub *hub, const struct ft_worker *but, bool sleepers_only)
{
    for (uint32_t i = 0; i < hub->worker_count; i++) {
        struct ft_worker *other = hub->workers[i];
        if (other != but && (!sleepers_only || atomic_load(&other->is_asleep)))
            hub->loop_ops->wake(hub->loops, i);
    }
}

static void wake_others(struct ft_worker *w, bool sleepers_only)
{
    wake(w->hub, w, sleepers_only);
}

void ft_hub_wake(struct ft_hub *hub)
{
    wake(hub, NULL, true);
}

/* We have moved on in the journal: whoever waits for room may try again. A worker that waits itself
 * leaves that to the one that it waits for. */
static void wake_refused(struct ft_worker *w)
{
    if (!w->is_stalled && ft_journal_take_refused(w->hub->journal))
        wake_others(w, false);
}

/* ---- subscribers ---- */

void ft_worker_add_sub(struct ft_worker *w, struct ft_slice filter, struct ft_trie_sub *sub)
{
    if (ft_topic_trie_subs(w->trie) == 0) {
        /* From idle to reading: first make the journal keep everything from here on, then look
         * where "here" is, so that nothing in between can be dropped. */
        ft_journal_reader_at(w->reader, ft_journal_head(w->hub->journal));
        w->cursor = ft_journal_head(w->hub->journal);
    }
    ft_topic_trie_add(w->trie, filter, sub);
    if (w->wants && ft_wants_add(w->wants, filter))
        w->hub->relay_ops->interest(w->hub->relay);
}

void ft_worker_remove_sub(struct ft_worker *w, struct ft_trie_sub *sub)
{
    char filter[FT_TOPIC_BYTES_MAX];
    if (w->wants)
        ft_wants_remove(w->wants, ft_slice(filter, ft_topic_trie_filter_of(w->trie, sub, filter)));
    ft_topic_trie_remove(w->trie, sub);
    if (ft_topic_trie_subs(w->trie) == 0) {
        ft_journal_reader_at(w->reader, UINT64_MAX);
        wake_refused(w);
    }
}

void ft_worker_settle(struct ft_worker *w)
{
    if (w->batch_len > 0)
        (void)ft_worker_commit(w);
    (void)ft_router_run(w, SIZE_MAX);
}

void ft_worker_want(struct ft_worker *w, const struct ft_partition_set *set)
{
    if (ft_wants_add_set(w->wants, set))
        w->hub->relay_ops->interest(w->hub->relay);
}

void ft_worker_unwant(struct ft_worker *w, const struct ft_partition_set *set)
{
    ft_wants_remove_set(w->wants, set);
}

/* ---- the turn ---- */

void ft_worker_mark_dirty(struct ft_worker *w, struct ft_session *session)
{
    if (session->dirty_at)
        return;
    if (w->dirty_len == w->dirty_cap) {
        w->dirty_cap = w->dirty_cap ? 2 * w->dirty_cap : 256;
        w->dirty = ft_realloc(w->dirty, w->dirty_cap * sizeof(*w->dirty));
    }
    w->dirty[w->dirty_len++] = session;
    session->dirty_at = w->dirty_len;
}

void ft_worker_flush_later(struct ft_worker *w, struct ft_flush *flush)
{
    if (flush->link_)
        return;
    flush->next_ = NULL;
    flush->link_ = w->flushes_end;
    *w->flushes_end = flush;
    w->flushes_end = &flush->next_;
}

void ft_worker_flush_cancel(struct ft_worker *w, struct ft_flush *flush)
{
    if (!flush->link_)
        return;
    *flush->link_ = flush->next_;
    if (flush->next_)
        flush->next_->link_ = flush->link_;
    else
        w->flushes_end = flush->link_;
    flush->link_ = NULL;
}

/* Runs what is queued now. What is queued meanwhile makes the loop turn again, so that no flush that
 * goes on and on keeps the others from their sockets. */
static void run_flushes(struct ft_worker *w)
{
    struct ft_flush last = {0}, *flush;
    if (!w->flushes)
        return;
    ft_worker_flush_later(w, &last);
    while ((flush = w->flushes) != &last) {
        ft_worker_flush_cancel(w, flush);
        flush->flush(flush);
    }
    ft_worker_flush_cancel(w, &last);
}

static void flush_dirty(struct ft_worker *w)
{
    run_flushes(w);
    /* A flush may end a session, and so mark it dirty again: it joins at the end of the list. */
    for (uint32_t i = 0; i < w->dirty_len; i++) {
        if (i + PREFETCH_AHEAD < w->dirty_len)
            __builtin_prefetch(w->dirty[i + PREFETCH_AHEAD]);
        struct ft_session *session = w->dirty[i];
        if (!session)
            continue;
        session->dirty_at = 0;
        ft_session_flush(session);
    }
    w->dirty_len = 0;
}

static uint64_t deliveries(struct ft_worker *w)
{
    uint64_t sum = 0;
    for (int i = 0; i < FT_FRAMES_KINDS; i++)
        sum += atomic_load_explicit(&w->metrics.deliveries[i], memory_order_relaxed);
    return sum;
}

/* Writes what a round of the fan-out has brought, and measures how long that took from the publishers. */
static void flush_round(struct ft_worker *w)
{
    uint64_t before = deliveries(w);
    flush_dirty(w);
    if (w->has_routed && deliveries(w) != before)
        ft_observe_us(w->metrics.publish_to_write, (uint32_t)ft_clock_mono_us() - w->oldest_us);
    w->has_routed = false;
}

void ft_worker_begin_turn(struct ft_worker *w, uint64_t wall_ms, uint64_t mono_ms)
{
    atomic_store(&w->is_asleep, false);
    w->turn_us = ft_clock_mono_us();
    w->now_ms = wall_ms;
    w->mono_ms = mono_ms;
    w->now_s = (uint32_t)(mono_ms / 1000);
    w->now_ds = (uint32_t)(mono_ms / 100);
    settings_take(w);
    ft_journal_wake(w->reader);
}

/* Brings the wheel of throttles up to now, and lets those deliver whose window has ended. */
static void turn_quick_wheel(struct ft_worker *w)
{
    uint32_t now = (uint32_t)(w->mono_ms / FT_QUICK_TICK_MS);
    if (w->quick_set == 0)
        w->quick.now_ = now;
    while (w->quick.now_ != now) {
        ft_wheel_tick(&w->quick);
        struct ft_wheel_timer *timer;
        while ((timer = ft_wheel_next_due(&w->quick)))
            ft_throttle_timer(timer);
    }
}

bool ft_worker_end_turn(struct ft_worker *w)
{
    struct ft_hub *hub = w->hub;
    uint64_t before = w->cursor;
    bool is_done = false;
    ft_mailbox_read(w);
    ft_stalls_run(w);
    turn_quick_wheel(w);
    ft_outgoing_hand_over(w);
    /* Half of what a session may hold, so that nobody who reads is ever near its bound. */
    size_t round_bytes = w->options->queue_bytes / 2;
    for (int round = 0; round < ROUNDS_MAX && !is_done; round++) {
        bool committed = w->batch_len == 0 || ft_worker_commit(w);
        is_done = ft_router_run(w, round_bytes);
        if (!committed)
            (void)ft_worker_commit(w); /* our own lag may have been what the journal waited for */
        flush_round(w);
    }
    bool are_fed = ft_feeds_serve(w);
    ft_outgoing_hand_over(
        w); /* what a flush has published, and what was taken in for other nodes */
    ft_worker_let_go(w);
    if (w->has_appended) {
        w->has_appended = false;
        wake_others(w, true);
    }
    if (w->cursor != before)
        wake_refused(w);
    ft_outbox_pool_end_turn(&w->pool);
    ft_journal_rest(w->reader);
    ft_count(&w->metrics.deliveries_dropped[FT_DROP_LATEST], w->pool.left_out);
    w->pool.left_out = 0;
    ft_count(w->metrics.worker_busy, ft_clock_mono_us() - w->turn_us);

    /* A flush may have published: a session that began there has read its first messages. */
    bool is_empty = w->batch_len == 0 || w->is_stalled;
    is_done = is_done && are_fed && is_empty && !w->flushes;
    if (!is_done || (ft_topic_trie_subs(w->trie) == 0 && !ft_stalls_are_there(w)))
        return is_done;
    /* Either the appender sees us asleep and wakes us, or we see its publication here. */
    atomic_store(&w->is_asleep, true);
    return ft_journal_head(hub->journal) == w->cursor && ft_stalls_are_calm(w);
}

/* Says in the log that something had to go because of a bound, so that the operator can raise it. */
static void report_bounds(struct ft_hub *hub)
{
    struct ft_journal_stats stats;
    ft_journal_stats(hub->journal, &stats);
    const struct ft_topic_stats *topics = &stats.topics;
    uint64_t sum = topics->topics_dropped + topics->retained_dropped + topics->kept_dropped +
                   stats.keys_dropped;
    if (sum == hub->reported)
        return;
    hub->reported = sum;
    ft_log(FT_LOG_INFO, "bound_reached",
           "topics_dropped=%llu retained_dropped=%llu history_dropped=%llu keys_dropped=%llu",
           (unsigned long long)topics->topics_dropped, (unsigned long long)topics->retained_dropped,
           (unsigned long long)topics->kept_dropped, (unsigned long long)stats.keys_dropped);
}

/* What one worker does for all. */
static void tick_for_all(struct ft_worker *w)
{
    uint32_t ticks = ft_wheel_now(&w->wheel);
    if (ticks % TICKS_PER_S == 0)
        ft_journal_expire(w->hub->journal, w->now_s);
    if (ticks % (TICKS_PER_S * REPORT_EVERY_S) == 0)
        report_bounds(w->hub);
}

void ft_worker_tick(struct ft_worker *w)
{
    ft_count_tick(&w->metrics, &w->lag, ft_clock_mono_us(), FT_WHEEL_TICK_MS * 1000);
    ft_wheel_tick(&w->wheel);
    struct ft_wheel_timer *timer;
    while ((timer = ft_wheel_next_due(&w->wheel)))
        ft_session_timer(timer);
    ft_wheel_tick(&w->alarms);
    while ((timer = ft_wheel_next_due(&w->alarms))) {
        struct ft_alarm *alarm = (struct ft_alarm *)timer;
        alarm->fire(alarm);
    }
    if (ft_wheel_now(&w->wheel) % TICKS_PER_S == 0)
        ft_sys_stats_tick(w);
    if (w->index == 0)
        tick_for_all(w);
}

void ft_worker_end_all(struct ft_worker *w, uint16_t close_code, const char *reason)
{
    w->is_ending = true;
    ft_worker_settle(w); /* what was accepted is delivered before the close frames */
    for (uint32_t i = 0; i < w->sessions.count; i++)
        ft_session_end(w->sessions.entries[i].session, close_code, reason);
}

void ft_worker_new_session_id(struct ft_worker *w, char id[FT_SESSION_ID_LEN])
{
    static const char alphabet[32] = "abcdefghijkmnpqrstuvwxyz23456789";
    enum { BYTES = FT_SESSION_ID_LEN * 5 / 8 };
    if (w->random_left < BYTES) {
        FT_ASSERT(getrandom(w->random, sizeof(w->random), 0) == sizeof(w->random));
        w->random_left = sizeof(w->random);
    }
    w->random_left -= BYTES;
    const uint8_t *random = w->random + w->random_left;
    uint64_t bits = 0;
    uint32_t have = 0;
    for (uint32_t i = 0, at = 0; i < FT_SESSION_ID_LEN; i++, have -= 5) {
        if (have < 5) {
            bits = bits << 8 | random[at++];
            have += 8;
        }
        id[i] = alphabet[bits >> (have - 5) & 31];
    }
}
