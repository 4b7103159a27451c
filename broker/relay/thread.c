/*
 * The relay's thread: a loop around servers and partitions. What workers hand over comes in by the inbox, what
 * Redis says by the servers; a turn ends right before the loop sleeps: then servers that were lost are taken
 * down, commands leave, and what came in is appended to the journal.
 */
#include "broker/relay/thread.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/hub/worker.h"
#include "broker/relay/server_private.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What is in flight when the node stops is waited for, as is a resolver. */
#define STOP_TICKS      (500 / FT_RELAY_TICK_MS)
#define CLOSE_TURNS_MAX 300
#define CLOSE_TURN_US   10000

/* ---- who is told what ---- */

void ft_relay_enter(struct ft_relay *relay)
{
    relay->now_ms = ft_clock_mono_ms();
    relay->wall_ms = ft_clock_wall_ms();
}

void ft_relay_up(struct ft_relay *relay, struct ft_server *server)
{
    if (!relay->hub)
        return;
    for (uint32_t k = server->index; k < relay->options.partitions.count; k += relay->server_count)
        ft_part_up(relay->parts[k]);
    ft_inlet_up(relay->inlet, server);
    ft_asks_up(relay->asks, server);
    ft_presences_up(relay->presences, server);
    ft_outgoing_up(relay->outgoing, server);
}

void ft_relay_down(struct ft_relay *relay, struct ft_server *server)
{
    if (!relay->hub)
        return;
    for (uint32_t k = server->index; k < relay->options.partitions.count; k += relay->server_count)
        ft_part_down(relay->parts[k]);
    ft_inlet_down(relay->inlet, server);
    ft_asks_down(relay->asks, server);
    ft_presences_down(relay->presences, server);
    ft_outgoing_down(relay->outgoing, server);
}

/* Reads the partition off `<prefix>:{k}`; -1: it is another channel. */
static int32_t partition_of(const struct ft_relay *relay, struct ft_slice channel)
{
    size_t prefix = strlen(relay->channel_prefix);
    const uint8_t *at = channel.ptr;
    uint32_t k = 0, digits = 0;
    if (channel.len < prefix + 4 || memcmp(at, relay->channel_prefix, prefix) != 0 ||
        at[prefix] != ':' || at[prefix + 1] != '{' || at[channel.len - 1] != '}')
        return -1;
    for (size_t i = prefix + 2; i + 1 < channel.len; i++, digits++) {
        if (at[i] < '0' || at[i] > '9' || digits == 3)
            return -1;
        k = k * 10 + (uint32_t)(at[i] - '0');
    }
    return k < relay->options.partitions.count ? (int32_t)k : -1;
}

void ft_relay_message(struct ft_relay *relay, struct ft_server *server, struct ft_slice channel,
                      struct ft_slice payload)
{
    if (!relay->hub)
        return;
    int32_t k = partition_of(relay, channel);
    if (k >= 0 && ft_relay_server(relay, (uint32_t)k) == server)
        ft_part_message(relay->parts[k], payload);
    else if (!ft_asks_message(relay->asks, server, channel, payload) &&
             !ft_inlet_message(relay->inlet, server, channel, payload))
        ft_count(&relay->figures.relay_rejected[FT_REJECTED_FOREIGN], 1);
}

/* ---- what other threads are told ---- */

void ft_relay_report(struct ft_relay *relay, uint32_t index, bool is_final, const char *why)
{
    struct ft_thread *thread = relay->thread_;
    struct ft_server_report *report = &thread->reports[index];
    atomic_store(&thread->is_up[index], why == NULL);
    pthread_mutex_lock(&thread->lock);
    report->is_final = is_final;
    snprintf(report->why, sizeof(report->why), "%s", why ? why : "");
    if (!report->is_judged)
        pthread_cond_signal(&thread->judged);
    report->is_judged = true;
    pthread_mutex_unlock(&thread->lock);
}

bool ft_relay_is_serving(const struct ft_relay *relay)
{
    return atomic_load(&relay->thread_->is_serving);
}

void ft_relay_expel(struct ft_relay *relay, const char *why)
{
    char value[FT_RELAY_ERROR_MAX];
    struct ft_thread *thread = relay->thread_;
    if (!atomic_load(&thread->is_serving) || atomic_exchange(&thread->is_expelled, true))
        return;
    ft_log(FT_LOG_ERROR, "expelled", "node=%s cause=%s", relay->options.node,
           ft_log_value(why, value, sizeof(value)));
    kill(getpid(), SIGTERM);
}

/* ---- the inbox ---- */

void ft_inbox_init(struct ft_inbox *inbox)
{
    *inbox = (struct ft_inbox){0};
    inbox->batches_end = &inbox->batches;
    inbox->asks_end = &inbox->asks;
    inbox->changes_end = &inbox->changes;
}

static void do_inbox(struct ft_relay *relay, struct ft_inbox *inbox)
{
    struct ft_relay_batch *batch;
    struct ft_relay_ask *ask;
    struct ft_relay_presence *change;
    while ((change = inbox->changes) != NULL) {
        inbox->changes = change->next;
        change->next = NULL;
        ft_presences_take(relay->presences, change);
    }
    while ((batch = inbox->batches) != NULL) {
        inbox->batches = batch->next;
        batch->next = NULL;
        ft_outgoing_take(relay->outgoing, batch);
    }
    while ((ask = inbox->asks) != NULL) {
        inbox->asks = ask->next;
        ask->next = NULL;
        ft_asks_take(relay->asks, ask);
    }
    if (inbox->is_wanted)
        for (uint32_t k = 0; k < relay->options.partitions.count; k++)
            ft_part_tick(relay->parts[k]);
}

static const struct ft_problem stopping = {FT_ERR_UNAVAILABLE, "the broker is stopping", 0};

static void refuse_batch(struct ft_relay_batch *batch, struct ft_hub *hub)
{
    if (batch->is_ephemeral || !batch->letter.open) {
        batch->letter.drop(&batch->letter);
        return;
    }
    batch->problem = stopping;
    ft_letter_post(hub, batch->worker, &batch->letter);
}

void ft_inbox_refuse(struct ft_inbox *inbox, struct ft_hub *hub)
{
    struct ft_relay_batch *batch;
    struct ft_relay_ask *ask;
    struct ft_relay_presence *change;
    while ((change = inbox->changes) != NULL) {
        inbox->changes = change->next;
        free(change);
    }
    while ((batch = inbox->batches) != NULL) {
        inbox->batches = batch->next;
        refuse_batch(batch, hub);
    }
    while ((ask = inbox->asks) != NULL) {
        inbox->asks = ask->next;
        ask->problem = stopping;
        ft_letter_post(hub, ask->worker, &ask->letter);
    }
}

/* The hub is there: those who wait for it may begin. */
static void begin_serving(struct ft_relay *relay, struct ft_hub *hub)
{
    relay->hub = hub;
    for (uint32_t i = 0; i < relay->server_count; i++)
        if (ft_server_state(relay->servers[i]) == FT_SERVER_UP)
            ft_relay_up(relay, relay->servers[i]);
}

static void on_wake(uv_async_t *wake)
{
    struct ft_relay *relay = wake->data;
    struct ft_thread *thread = relay->thread_;
    ft_relay_enter(relay);
    pthread_mutex_lock(&thread->lock);
    struct ft_inbox inbox = thread->inbox;
    struct ft_hub *hub = thread->hub;
    bool is_told = thread->is_stopping && !thread->is_closed;
    thread->is_closed = thread->is_stopping;
    ft_inbox_init(&thread->inbox);
    pthread_mutex_unlock(&thread->lock);

    if (hub && !relay->hub)
        begin_serving(relay, hub);
    if (relay->hub)
        do_inbox(relay, &inbox);
    if (is_told)
        ft_inlet_leave(relay->inlet);
    if (is_told && relay->hub)
        ft_presences_stop(relay->presences);
    for (uint32_t i = 0; is_told && i < relay->server_count; i++)
        ft_server_leave(relay->servers[i]);
}

/* ---- turns ---- */

static void end_turn(struct ft_relay *relay)
{
    for (uint32_t i = 0; i < relay->server_count; i++)
        ft_server_end_turn(relay->servers[i]);
    for (uint32_t i = 0; i < relay->server_count; i++)
        ft_server_flush(relay->servers[i]);
    ft_sink_end_turn(relay);
    for (uint32_t i = 0; i < relay->server_count; i++)
        ft_server_end_turn(relay->servers[i]); /* what a write has found out */
}

static bool is_idle(const struct ft_relay *relay)
{
    for (uint32_t i = 0; i < relay->server_count; i++)
        if (ft_server_in_flight(relay->servers[i]) > 0 || ft_server_unsent(relay->servers[i]) > 0)
            return false;
    return true;
}

static void before_sleep(uv_prepare_t *prepare)
{
    struct ft_relay *relay = prepare->data;
    struct ft_thread *thread = relay->thread_;
    end_turn(relay);
    if (thread->is_closed && (is_idle(relay) || thread->stop_ticks >= STOP_TICKS))
        uv_stop(&relay->loop);
}

static void on_tick(uv_timer_t *timer)
{
    struct ft_relay *relay = timer->data;
    ft_relay_enter(relay);
    if (relay->thread_->is_closed)
        relay->thread_->stop_ticks++;
    ft_relay_gauges(relay); /* before anything is sent */
    for (uint32_t i = 0; i < relay->server_count; i++)
        ft_server_tick(relay->servers[i]);
    if (!relay->hub)
        return;
    for (uint32_t k = 0; k < relay->options.partitions.count; k++)
        ft_part_tick(relay->parts[k]);
    ft_outgoing_tick(relay->outgoing);
    ft_inlet_tick(relay->inlet);
    ft_asks_tick(relay->asks);
    ft_presences_tick(relay->presences);
}

/* ---- life ---- */

/* Gives back what is in flight and what waits, while everybody is still there to take it; then frees all but
 * what other threads may look at. */
static void wind_up(struct ft_relay *relay)
{
    struct ft_thread *thread = relay->thread_;
    for (uint32_t i = 0; i < relay->server_count; i++)
        ft_server_close(relay->servers[i]);
    ft_outgoing_stop(relay->outgoing);
    ft_presences_free(relay->presences);
    ft_asks_free(relay->asks);
    ft_inlet_free(relay->inlet);
    for (uint32_t k = 0; k < relay->options.partitions.count; k++)
        ft_part_free(relay->parts[k]);
    if (relay->hub)
        ft_sink_end_turn(relay);
    ft_sink_fini(relay);
    uv_close((uv_handle_t *)&thread->wake, NULL);
    uv_close((uv_handle_t *)&thread->before_sleep, NULL);
    uv_close((uv_handle_t *)&thread->tick, NULL);
    for (int i = 0; i < CLOSE_TURNS_MAX && uv_run(&relay->loop, UV_RUN_NOWAIT) != 0; i++)
        usleep(CLOSE_TURN_US);
}

static void *run(void *arg)
{
    struct ft_relay *relay = arg;
    struct ft_thread *thread = relay->thread_;
    pthread_setname_np(pthread_self(), "relay");
    ft_relay_enter(relay);
    uv_prepare_start(&thread->before_sleep, before_sleep);
    uv_timer_start(&thread->tick, on_tick, FT_RELAY_TICK_MS, FT_RELAY_TICK_MS);
    for (uint32_t i = 0; i < relay->server_count; i++)
        ft_server_start(relay->servers[i]);
    uv_run(&relay->loop, UV_RUN_DEFAULT);
    ft_relay_enter(relay);
    wind_up(relay);
    return NULL;
}

void ft_thread_start(struct ft_relay *relay)
{
    struct ft_thread *thread = relay->thread_;
    sigset_t all, before;
    thread->wake.data = thread->before_sleep.data = thread->tick.data = relay;
    uv_async_init(&relay->loop, &thread->wake, on_wake);
    uv_prepare_init(&relay->loop, &thread->before_sleep);
    uv_timer_init(&relay->loop, &thread->tick);
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->id, NULL, run, relay);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    FT_ASSERT(error == 0);
    thread->is_running = true;
}

void ft_thread_stop(struct ft_relay *relay)
{
    struct ft_thread *thread = relay->thread_;
    if (!thread->is_running)
        return;
    pthread_mutex_lock(&thread->lock);
    thread->is_stopping = true;
    pthread_mutex_unlock(&thread->lock);
    uv_async_send(&thread->wake);
    pthread_join(thread->id, NULL);
    thread->is_running = false;
}
