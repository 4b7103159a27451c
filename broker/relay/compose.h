/*
 * Publish commands: from a batch to EVALSHA with the arguments of scripts/publish.lua, or to PUBLISH where it is
 * ephemeral. The parts of the publications are written by the worker that hands the batch over; what only the
 * relay's thread knows goes in front of them when it is sent.
 *
 *     batch->command   ├── room ──┤├ parts: p 3 … s r a/b … ┤
 *                            ├head┤
 */
#ifndef FT_RELAY_COMPOSE_H
#define FT_RELAY_COMPOSE_H

#include "broker/hub/relay.h"
#include "broker/relay/relay.h"

/* What the commands of a relay have in common, as it is sent: a head is put together for each batch. */
struct ft_compose {
    const char *instance; /* lent */
    uint32_t partitions;
    struct ft_compose_names {
        struct ft_buffer bytes; /* EVALSHA, script and keys of a partition … */
        size_t channel_at;      /* … and from here on the name of its channel */
    } * names;
    struct ft_buffer bounds; /* what a stream keeps */
    size_t head_room;        /* bytes in front of the parts */
};

/* What is known of a partition when its command is sent. */
struct ft_compose_seen {
    char candidate[FT_STREAM_NAME_LEN + 1]; /* the name, where a stream has to begin */
    char stream[FT_STREAM_NAME_LEN + 1];    /* what this node has seen of it: empty, nothing */
    uint64_t head;
    const char *life; /* of Redis: ft_server_life() */
};

/* Writes what is common. `instance` outlives it. */
void ft_compose_init(struct ft_compose *compose, const struct ft_relay_options *options,
                     const char *prefix, const char *channel_prefix, const char *instance);
void ft_compose_fini(struct ft_compose *compose);

/* Writes batch->command, all of it or all but its head. Any thread. */
void ft_compose_batch(const struct ft_compose *compose, struct ft_relay_batch *batch);

/* Returns the whole command of a batch that is not ephemeral, with a head of now; it lies in the batch.
 * `scratch` has no bound below `head_room`. */
struct ft_slice ft_compose_head(const struct ft_compose *compose, struct ft_relay_batch *batch,
                                const struct ft_compose_seen *seen, struct ft_buffer *scratch);

/* Writes the command that tells other nodes of one ephemeral entry. */
void ft_compose_ephemeral(const struct ft_compose *compose, uint32_t partition, uint32_t count,
                          struct ft_slice entries, struct ft_buffer *command);

#endif
