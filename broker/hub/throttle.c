/*
 * Throttles: what `every` holds back, and when it goes out. Does not match and does not read envelopes.
 * The worker's thread.
 */
#include "broker/hub/throttle.h"

#include "broker/base/alloc.h"
#include "broker/hub/reply.h"
#include "broker/hub/worker.h"

#include <stdlib.h>

struct ft_throttle *ft_throttle_use(struct ft_session *s, uint32_t every_ms)
{
    struct ft_throttle *throttle = s->throttles;
    while (throttle && throttle->every_ms != every_ms)
        throttle = throttle->next;
    if (!throttle) {
        throttle = ft_alloc_zero(sizeof(*throttle));
        throttle->session = s;
        throttle->every_ms = every_ms;
        ft_conflation_init(&throttle->waiting);
        throttle->next = s->throttles;
        s->throttles = throttle;
    }
    throttle->users++;
    return throttle;
}

/* The loop runs turns often enough for the ends of windows only while something waits for one. */
static void set_timer(struct ft_throttle *throttle, uint64_t ms)
{
    struct ft_worker *w = throttle->session->asker.worker;
    if (!ft_wheel_is_set(&throttle->timer) && w->quick_set++ == 0) {
        w->quick.now_ = (uint32_t)(w->mono_ms / FT_QUICK_TICK_MS);
        w->hub->loop_ops->hurry(w->hub->loops, w->index, FT_QUICK_TICK_MS);
    }
    /* One tick more: the current one has begun already. */
    ft_wheel_set_ticks(&w->quick, &throttle->timer, ms / FT_QUICK_TICK_MS + 1);
}

static void note_timer_gone(struct ft_worker *w)
{
    if (--w->quick_set == 0)
        w->hub->loop_ops->hurry(w->hub->loops, w->index, 0);
}

static void cancel_timer(struct ft_throttle *throttle)
{
    if (!ft_wheel_is_set(&throttle->timer))
        return;
    ft_wheel_cancel(&throttle->timer);
    note_timer_gone(throttle->session->asker.worker);
}

void ft_throttle_release(struct ft_throttle *throttle)
{
    if (!throttle || --throttle->users > 0)
        return;
    struct ft_throttle **link = &throttle->session->throttles;
    while (*link != throttle)
        link = &(*link)->next;
    *link = throttle->next;
    cancel_timer(throttle);
    ft_conflation_fini(&throttle->waiting);
    free(throttle);
}

static void begin_window(struct ft_throttle *throttle)
{
    throttle->open_at_ms = throttle->session->asker.worker->mono_ms + throttle->every_ms;
}

/* Delivers what waits. What the journal has dropped meanwhile the session is told of. */
static void deliver(struct ft_throttle *throttle)
{
    struct ft_session *s = throttle->session;
    struct ft_journal *journal = s->asker.worker->hub->journal;
    const uint64_t *offsets;
    uint32_t n = ft_conflation_take(&throttle->waiting, &offsets);
    uint64_t lost = 0;
    for (uint32_t i = 0; i < n && !ft_journal_peek(journal, offsets[i]); i++)
        lost++;
    if (lost > 0)
        ft_reply_gap(s, &lost, offsets[lost - 1]);
    for (uint32_t i = (uint32_t)lost; i < n; i++) {
        const struct ft_publication *p = ft_journal_peek(journal, offsets[i]);
        if (p)
            ft_session_queue(s, p, ft_journal_frame(journal, p, (enum ft_frames)s->frames).len);
    }
}

/* Delivers what waits, and begins the next window. */
static void end_window(struct ft_throttle *throttle)
{
    deliver(throttle);
    begin_window(throttle);
    cancel_timer(throttle);
}

void ft_throttle_offer(struct ft_throttle *throttle, const struct ft_publication *p, size_t bytes)
{
    struct ft_session *s = throttle->session;
    uint64_t now = s->asker.worker->mono_ms;
    if (now >= throttle->open_at_ms && throttle->waiting.count == 0) {
        ft_session_queue(s, p, bytes);
        begin_window(throttle);
        return;
    }
    uint32_t count = throttle->waiting.count;
    ft_conflation_put(&throttle->waiting, p->topic_hash, p->offset, (uint32_t)bytes);
    if (throttle->waiting.count == count) /* it took the place of another */
        ft_count(&s->asker.worker->metrics.deliveries_dropped[FT_DROP_EVERY], 1);
    /* Many topics and a long window: it ends early rather than that memory grows without a bound. */
    if (throttle->waiting.bytes > s->asker.worker->options->queue_bytes / 2)
        end_window(throttle);
    else if (!ft_wheel_is_set(&throttle->timer))
        set_timer(throttle,
                  throttle->open_at_ms > now ? throttle->open_at_ms - now : throttle->every_ms);
}

void ft_throttles_flush(struct ft_session *s)
{
    for (struct ft_throttle *throttle = s->throttles; throttle; throttle = throttle->next) {
        if (throttle->waiting.count > 0)
            end_window(throttle);
    }
}

void ft_throttles_flush_topic(struct ft_session *s, uint64_t topic_hash,
                              const struct ft_throttle *other)
{
    for (struct ft_throttle *throttle = s->throttles; throttle; throttle = throttle->next) {
        if (throttle != other && ft_conflation_has(&throttle->waiting, topic_hash))
            end_window(throttle);
    }
}

void ft_throttle_timer(struct ft_wheel_timer *timer)
{
    struct ft_throttle *throttle =
        (struct ft_throttle *)((char *)timer - offsetof(struct ft_throttle, timer));
    note_timer_gone(throttle->session->asker.worker);
    if (ft_session_is_over(
            throttle->session)) /* too slow even for this: the newest go on waiting */
        set_timer(throttle, throttle->every_ms);
    else
        end_window(throttle);
}
