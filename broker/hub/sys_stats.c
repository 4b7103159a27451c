/*
 * $sys/<node>/stats. An ordinary publication but for its topic, which nobody else may publish to, and for
 * being ephemeral: it takes the way of all others, so that every worker delivers it. Worker 0's thread; the
 * look for listeners, each worker's.
 */
#include "broker/hub/sys_stats.h"

#include "broker/base/alloc.h"
#include "broker/hub/metrics.h"
#include "broker/hub/outgoing.h"
#include "broker/hub/worker.h"
#include "protocol/topic.h"

#include <stdio.h>
#include <stdlib.h>

/* Some 5 KB are usual; with 64 workers 10. */
#define STATS_MAX ((size_t)256 * 1024)

struct ft_sys_stats {
    struct ft_worker *worker;
    struct ft_figures now, before;
    bool has_before;
    struct ft_buffer text;
};

struct ft_sys_stats *ft_sys_stats_new(struct ft_worker *w)
{
    struct ft_sys_stats *stats = ft_alloc_zero(sizeof(*stats));
    stats->worker = w;
    ft_buffer_init(&stats->text, STATS_MAX);
    return stats;
}

void ft_sys_stats_free(struct ft_sys_stats *stats)
{
    if (!stats)
        return;
    ft_buffer_fini(&stats->text);
    free(stats);
}

/* Returns the topic, empty where the node's name does not fit one. */
static struct ft_slice topic_of(const struct ft_worker *w, char text[FT_TOPIC_BYTES_MAX])
{
    int n = snprintf(text, FT_TOPIC_BYTES_MAX, "$sys/%s/stats", w->options->node);
    struct ft_slice topic = ft_slice(text, n > 0 && n < FT_TOPIC_BYTES_MAX ? (size_t)n : 0);
    return topic.len > 0 && ft_topic_check(topic, NULL) == FT_OK ? topic : ft_slice(text, 0);
}

static void publish(struct ft_sys_stats *stats, struct ft_slice topic)
{
    struct ft_worker *w = stats->worker;
    ft_figures_read(&stats->now, w, true);
    ft_buffer_clear(&stats->text);
    struct ft_writer out;
    ft_writer_init(&out, FT_JSON, &stats->text);
    ft_figures_write_stats(&stats->now, stats->has_before ? &stats->before : NULL, &out);
    stats->before = stats->now;
    stats->has_before = true;
    ft_outgoing_announce(w, topic, ft_buffer_slice(&stats->text));
}

void ft_sys_stats_tick(struct ft_worker *w)
{
    struct ft_hub *hub = w->hub;
    char text[FT_TOPIC_BYTES_MAX];
    struct ft_slice topic = topic_of(w, text);
    const struct ft_trie_set *sets;
    bool is_heard = topic.len > 0 && ft_topic_trie_match(w->trie, topic, &sets) > 0;
    atomic_store_explicit(&w->hears_stats, is_heard, memory_order_relaxed);
    if (w->index != 0)
        return;
    for (uint32_t i = 1; i < hub->worker_count; i++)
        is_heard |= atomic_load_explicit(&hub->workers[i]->hears_stats, memory_order_relaxed);
    /* Who listens on another node is not known here. */
    is_heard |= topic.len > 0 && hub->relay_ops;
    if (is_heard && !w->is_stalled)
        publish(hub->sys_stats, topic);
    else
        hub->sys_stats->has_before = false; /* what came meanwhile was not in one second */
}
