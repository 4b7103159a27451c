/*
 * Questions to the other nodes that wait for answers: what ask.c, ask_heard.c and roll.c share. The relay's thread.
 */
#ifndef FT_RELAY_ASK_H
#define FT_RELAY_ASK_H

#include "broker/hub/nodes.h"
#include "broker/relay/private.h"
#include "protocol/quote.h"

/* A node whose last beat is older is not there. */
#define FT_NODE_AGE_MAX_MS 30000

/* Nodes that are looked at, of as many as somebody may have written down. */
#define FT_NODES_MAX 1024

/* ---- roll.c: who is there, as the nodes' own figures in Redis say ---- */

struct ft_roll_node {
    struct ft_node_info info; /* `lags` is set when the roll is written */
    struct ft_node_lag *lags;
    uint8_t *bytes; /* what the texts of `info` point into */
};

struct ft_roll {
    struct ft_roll_node *nodes;
    uint32_t count;
    uint32_t servers; /* that have told theirs */
};

void ft_roll_fini(struct ft_roll *roll);

/* Adds what a server keeps under a node's name, if it is sound and not too old; `now_ms` by Redis' clock, and
 * `*age_ms` is set by it. Returns false where it is not sound. */
bool ft_roll_add(struct ft_roll *roll, struct ft_slice name, struct ft_slice value, uint64_t now_ms,
                 uint64_t *age_ms);

/* Returns a node by its instance, or NULL. */
const struct ft_roll_node *ft_roll_find(const struct ft_roll *roll, struct ft_slice instance);

/* Writes {"nodes":[…]}, this node among them, in the order of their names. */
void ft_roll_write(struct ft_roll *roll, struct ft_relay *relay, struct ft_buffer *out);

/* ---- ask.c ---- */

struct ft_wait;

/* One server's part of a question. */
struct ft_wait_part {
    struct ft_wait *wait;
    struct ft_server *server; /* NULL: it was not asked */
    uint64_t now_ms;          /* Redis' clock */
    bool is_lost;             /* nothing more will come from there */
    bool has_heard;           /* it has said how many nodes heard the order … */
    uint64_t heard;           /* … which are so many, this one among them; … */
    uint64_t answered;        /* … and so many have answered */
};

/* Who has answered an order. */
struct ft_wait_answer {
    struct ft_server *server;
    char instance[FT_INSTANCE_LEN];
};

/* A question that was asked. It lives until the last command of it was answered. */
struct ft_wait {
    struct ft_wait *next;
    struct ft_asks *asks;
    struct ft_relay_ask *ask; /* NULL: it has gone back */
    uint64_t id, deadline_ms;
    uint32_t out; /* commands that are not answered */
    struct ft_roll roll;
    struct ft_wait_part parts[FT_SERVERS_MAX];
    struct ft_wait_answer *answers;
    uint32_t answer_count;
    char refusal[FT_QUOTE_MAX]; /* what Redis said instead of taking it; empty: nothing */
};

struct ft_asks {
    struct ft_relay *relay;
    struct ft_wait *waits;
    uint64_t last_id;
    size_t heard_bytes; /* questions of other nodes that are being answered here */
    char *all, *own;    /* channels: of all nodes, of this one */
    char *nodes;        /* the key of the hash */
    struct ft_buffer command, message;
    struct ft_slice *filters; /* room for those of one order */
};

/* Returns the question with this id, if it is of that kind and still waits, or NULL. */
struct ft_wait *ft_wait_find(struct ft_asks *asks, uint64_t id, enum ft_ask_kind kind);

/* Gives it back when there is nothing to wait for, and frees it when nobody points to it. */
void ft_wait_settle(struct ft_wait *wait);

/* Publishes asks->message on the channel of a node. */
void ft_asks_tell(struct ft_asks *asks, struct ft_server *server, const char *instance);

static inline struct ft_slice ft_asks_instance(const struct ft_asks *asks)
{
    return ft_slice(asks->relay->instance, FT_INSTANCE_LEN);
}

static inline bool ft_asks_is_own(const struct ft_asks *asks, struct ft_slice instance)
{
    return ft_slice_equal(instance, ft_asks_instance(asks));
}

/* ---- ask_heard.c ---- */

/* What another node asked was answered here (FT_ASK_CARRIED, FT_ASK_TOLD): tells it. */
void ft_asks_answer(struct ft_asks *asks, struct ft_relay_ask *ask);

#endif
