/*
 * What is told of a node (SPEC.md section 7, GET /v1/nodes), by whichever node is asked: of itself, or, through
 * the relay, of the others.
 */
#ifndef FT_HUB_NODES_H
#define FT_HUB_NODES_H

#include "broker/core/partitions.h"
#include "protocol/writer.h"

struct ft_hub;

/* How far a node is behind in a partition that it has joined. */
struct ft_node_lag {
    uint32_t partition;
    uint64_t lag; /* publications that Redis has and the node has not; UINT64_MAX: not known */
};

struct ft_node_info {
    struct ft_slice name, version, instance; /* valid UTF-8 */
    uint64_t started_ms;                     /* wall clock */
    uint64_t connections;
    uint64_t seen_ms; /* age of all this */
    bool is_self;
    const struct ft_node_lag *lags;
    uint32_t lag_count;
};

/* Writes one node as a map. */
void ft_node_write(struct ft_writer *writer, const struct ft_node_info *node, uint64_t now_ms);

/* Returns the connections that are open on all workers. Any thread. */
uint64_t ft_hub_connections(const struct ft_hub *hub);

#endif
