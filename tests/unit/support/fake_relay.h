/*
 * The relay as the hub sees it, without Redis: keeps what is handed over until the test answers it. With
 * ft_fake_node_init_cluster(); one thread.
 */
#ifndef FT_TESTS_FAKE_RELAY_H
#define FT_TESTS_FAKE_RELAY_H

#include "broker/hub/relay.h"
#include "tests/unit/support/fake_node.h"

struct ft_fake_relay {
    struct ft_interest interest;
    size_t room, most;                   /* of what may wait */
    struct ft_relay_batch *first, **end; /* batches, in the order in which they were handed over */
    uint32_t batches;                    /* how many these are */
    uint32_t interests;                  /* times that something was wanted that was not */
    struct ft_relay_ask *asks, **asks_end; /* questions, the same way */
    char changes[1024]; /* of presence: "+topic user -topic user", "" for nobody */
    const char *why;    /* the node is not ready; NULL: it is */
    bool is_away;       /* no server is reached */
};

extern const struct ft_relay_ops ft_fake_relay_ops;

/* Makes one with room for a mebibyte. */
void ft_fake_relay_init(struct ft_fake_relay *relay, const struct ft_partitions *partitions);

/* Drops what was not answered. Before the node goes. */
void ft_fake_relay_fini(struct ft_fake_relay *relay);

/* Takes the batch that was handed over first, or NULL. It has to be given back, or dropped. */
struct ft_relay_batch *ft_fake_relay_take(struct ft_fake_relay *relay);

/* Gives a batch back: its publications have the offsets from `first` on, in FT_FAKE_STREAM; or what is wrong
 * with all of them. The worker reads it in its next turn. */
void ft_fake_relay_accept(struct ft_fake_node *node, struct ft_relay_batch *batch, uint64_t first);
void ft_fake_relay_refuse(struct ft_fake_node *node, struct ft_relay_batch *batch, enum ft_err err);

/* Takes the question that was asked first, or NULL. Fill in its answer and give it back: whoever asked reads it
 * in his worker's next turn. */
struct ft_relay_ask *ft_fake_relay_asked(struct ft_fake_relay *relay);
void ft_fake_relay_answer(struct ft_fake_node *node, struct ft_relay_ask *ask);

/* Reads entry `i` of a batch, and says what it has, in a few words; lent until the next call:
 *
 *     a/b=7      a/b=7 retained key=k history=3 ttl=2000 clears     the data as it was sent
 */
const char *ft_fake_relay_entry(const struct ft_relay_batch *batch, uint32_t i);

#endif
