/* What is told of a node, as a map. Any thread. */
#include "broker/hub/nodes.h"

#include "broker/hub/worker.h"

static void write_text(struct ft_writer *w, const char *key, struct ft_slice text)
{
    ft_write_key(w, key);
    ft_write_str(w, text);
}

static void write_count(struct ft_writer *w, const char *key, uint64_t n)
{
    ft_write_key(w, key);
    ft_write_uint(w, n);
}

void ft_node_write(struct ft_writer *w, const struct ft_node_info *node, uint64_t now_ms)
{
    ft_write_map(w, 9);
    write_text(w, "name", node->name);
    write_text(w, "instance", node->instance);
    write_text(w, "version", node->version);
    write_count(w, "started", node->started_ms);
    write_count(w, "uptime_s", now_ms > node->started_ms ? (now_ms - node->started_ms) / 1000 : 0);
    write_count(w, "connections", node->connections);
    write_count(w, "seen_ms", node->seen_ms);
    ft_write_key(w, "self");
    ft_write_bool(w, node->is_self);
    ft_write_key(w, "partitions");
    ft_write_array(w, node->lag_count);
    for (uint32_t i = 0; i < node->lag_count; i++) {
        ft_write_map(w, 2);
        write_count(w, "partition", node->lags[i].partition);
        ft_write_key(w, "lag");
        if (node->lags[i].lag == UINT64_MAX)
            ft_write_null(w);
        else
            ft_write_uint(w, node->lags[i].lag);
    }
}

uint64_t ft_hub_connections(const struct ft_hub *hub)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < hub->worker_count; i++)
        sum +=
            atomic_load_explicit(hub->workers[i]->metrics.worker_connections, memory_order_relaxed);
    return sum;
}
