/*
 * What comes from other nodes, to the journal: gathered over a turn of the loop, appended under few locks.
 * When the journal has no room, because a worker is behind by all of it, nothing is lost: Pub/Sub waits, and it
 * is tried again soon. The relay's thread.
 */
#include "broker/relay/server_private.h"
#include "broker/relay/thread.h"

#include "broker/base/alloc.h"
#include "broker/hub/worker.h"

#include <stdlib.h>

/* How long a worker gets to move before the journal is tried again. */
#define RETRY_MS 5

#define TAKEN_MIN 1024

static void on_retry(uv_timer_t *timer);

static struct ft_sink *sink_of(const struct ft_relay *relay)
{
    return &relay->thread_->sink;
}

void ft_sink_init(struct ft_relay *relay)
{
    struct ft_sink *sink = sink_of(relay);
    sink->cap = TAKEN_MIN;
    sink->taken = ft_alloc(sink->cap * sizeof(struct ft_publication *));
    uv_timer_init(&relay->loop, &sink->retry);
    sink->retry.data = relay;
}

static void pause_servers(struct ft_relay *relay, bool is_paused)
{
    for (uint32_t i = 0; i < relay->server_count; i++)
        ft_server_pause(relay->servers[i], is_paused);
}

static void become_full(struct ft_relay *relay)
{
    struct ft_sink *sink = sink_of(relay);
    if (sink->is_full)
        return;
    sink->is_full = true;
    pause_servers(relay, true);
    uv_timer_start(&sink->retry, on_retry, RETRY_MS, RETRY_MS);
}

/* Appends all that was taken, or as much as there is room for. */
static bool append_all(struct ft_relay *relay)
{
    struct ft_sink *sink = sink_of(relay);
    while (sink->first < sink->count) {
        uint32_t n = sink->count - sink->first;
        if (n > FT_BATCH_MAX)
            n = FT_BATCH_MAX;
        if (!ft_journal_append(relay->writer, sink->taken + sink->first, n,
                               (uint32_t)(relay->now_ms / 1000)))
            return false;
        sink->first += n;
        sink->has_appended = true;
    }
    sink->first = sink->count = 0;
    return true;
}

bool ft_relay_flush(struct ft_relay *relay)
{
    if (sink_of(relay)->is_full)
        return false;
    bool has_room = append_all(relay);
    if (!has_room)
        become_full(relay);
    return has_room;
}

bool ft_relay_append(struct ft_relay *relay, struct ft_publication *publication)
{
    struct ft_sink *sink = sink_of(relay);
    if (sink->count == sink->cap) {
        sink->cap *= 2;
        sink->taken = ft_realloc(sink->taken, sink->cap * sizeof(struct ft_publication *));
    }
    sink->taken[sink->count++] = publication;
    if (sink->count - sink->first >= FT_BATCH_MAX)
        ft_relay_flush(relay);
    return !sink->is_full;
}

bool ft_relay_has_room(const struct ft_relay *relay)
{
    return !sink_of(relay)->is_full;
}

static void on_retry(uv_timer_t *timer)
{
    struct ft_relay *relay = timer->data;
    struct ft_sink *sink = sink_of(relay);
    ft_relay_enter(relay);
    if (!append_all(relay))
        return;
    sink->is_full = false;
    uv_timer_stop(&sink->retry);
    pause_servers(relay, false);
    for (uint32_t i = 0; i < relay->options.partitions.count && !sink->is_full; i++)
        ft_part_resume(relay->parts[i]);
}

void ft_sink_end_turn(struct ft_relay *relay)
{
    struct ft_sink *sink = sink_of(relay);
    ft_relay_flush(relay);
    if (!sink->has_appended)
        return;
    sink->has_appended = false;
    ft_hub_wake(relay->hub);
}

void ft_sink_fini(struct ft_relay *relay)
{
    struct ft_sink *sink = sink_of(relay);
    uv_close((uv_handle_t *)&sink->retry, NULL);
    free(sink->taken);
}
