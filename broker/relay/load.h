/*
 * Reads from Redis what a partition's stream was before this node joined it (loaded.h), in bounded portions,
 * one after the other: the log backwards, then last values, then histories. As much of each as the node's
 * journal has room for. The relay's thread.
 */
#ifndef FT_RELAY_LOAD_H
#define FT_RELAY_LOAD_H

#include "broker/relay/follower.h"

struct ft_relay;

/* Returns how many messages to ask for at once, 1 … FT_FOLLOWER_RANGE, where data is so long at most: an answer
 * is bounded (server.h). */
uint32_t ft_load_portion(size_t message_bytes);

typedef void (*ft_load_fn)(void *context, enum ft_answer answer);

/* Begins to read. `loaded` outlives it and is sealed when `done` is called: once, not from within; with
 * FT_ANSWER_LOST where the server has gone. Returns false, and never calls it, where the server is not UP. */
bool ft_load_begin(struct ft_relay *relay, uint32_t partition, const struct ft_load_plan *plan,
                   struct ft_loaded *loaded, ft_load_fn done, void *context);

#endif
