/*
 * How the hub reaches the other nodes: a port that broker/relay/ fills in (there Redis is known, and nowhere
 * else). Everything crosses it as a value that one side at a time owns: a worker hands over, goes on, and
 * gets it back as a letter. Nothing here blocks.
 *
 *     worker's turn ─▶ batches, one a partition ─▶ publish() ─▶ relay ─▶ Redis
 *     worker        ◀── letter: the batch with its positions ◀──┘          │ channel of the partition
 *     journal       ◀── ft_journal_append, ft_hub_wake ◀── relay ◀─────────┘
 *
 * A hub without a relay (ports.relay_ops NULL) is a node on its own: its journal is the engine.
 */
#ifndef FT_HUB_RELAY_H
#define FT_HUB_RELAY_H

#include "broker/core/publication.h"
#include "broker/core/relay_message.h"
#include "broker/hub/control.h"
#include "broker/hub/interest.h"
#include "broker/hub/letter.h"
#include "protocol/buffer.h"
#include "protocol/error.h"

/* What became of one publication: its position, which of a duplicate is the first one's. */
struct ft_relay_result {
    bool is_duplicate;
    uint8_t pos_len;
    char pos[FT_POS_LEN_MAX];
};

/* What the script has to know of one publication beside its bytes. */
struct ft_relay_item {
    uint32_t at, len; /* of its entry, in batch->entries */
    uint32_t history, ttl_ms;
    bool is_retained, clears_retained;
    uint8_t key_len; /* 0: it has none */

    /* of one that is not plain, in batch->keys: */
    uint8_t topic_len;
    uint32_t topic_at, key_at;
};

/* Says whether there is nothing to do for it but to number and tell it. */
static inline bool ft_relay_item_is_plain(const struct ft_relay_item *item)
{
    return item->key_len == 0 && item->history == 0 && !item->is_retained && !item->clears_retained;
}

/* Publications of one partition that a worker took in within a turn. */
struct ft_relay_batch {
    struct ft_letter
        letter; /* how it comes back; where it is ephemeral it is dropped, by any thread */
    struct ft_relay_batch *next; /* the holder's */
    uint32_t worker, partition;
    bool is_ephemeral;
    bool wants_results; /* somebody asks for positions */
    uint32_t count;
    struct ft_relay_item *items;
    struct ft_buffer entries, keys;

    /* the relay's, zero before */
    struct ft_buffer command;
    uint64_t deadline_ms; /* monotonic: when whoever waits gives up */
    size_t bytes;         /* that it takes of relay.queue */
    uint32_t parts, args; /* of the script's */
    uint64_t head;        /* the greatest offset that one of it has got */

    /* the answer: a problem (FT_OK: none) for all of it, or a result for each (NULL: nobody asked) */
    struct ft_problem problem;
    struct ft_relay_result *results;
};

/* What a node may be asked beside publishing. An answer is one MessagePack value, as the API gives it. */
enum ft_ask_kind {
    FT_ASK_NODES, /* body empty                       ─▶ {"nodes":[{…},…]} */
    FT_ASK_PRESENCE, /* body: a topic's text             ─▶ [{…},…], the clients, and `count` */
    FT_ASK_ORDER, /* body: an order, ft_order_write() ─▶ `outcome` of the other nodes */
    FT_ASK_SESSIONS, /* body: ft_session_query_write()    ─▶ sessions of the other nodes, side by side, `count` */
    FT_ASK_TOLD, /* the other way: the relay has had this node's sessions looked up for another one
                  * (ft_session_list_foreign); body: an array of them, which does not come back */
    FT_ASK_CARRIED /* the other way: the relay has had an order of another node carried out here
                      * (ft_control_foreign), and this is `outcome`, which does not come back */
};

struct ft_relay_ask {
    struct ft_letter letter;   /* how it comes back */
    struct ft_relay_ask *next; /* the holder's */
    uint32_t worker;
    enum ft_ask_kind kind;
    struct ft_buffer body, answer;
    struct ft_order_outcome outcome; /* of an order: there is one beside a problem, too */
    uint64_t count; /* of PRESENCE: clients that there are, listed or not; of SESSIONS, too */
    struct ft_buffer
        missing; /* of SESSIONS: names of nodes that have not answered, side by side … */
    uint32_t missing_count;    /* … and how many */
    struct ft_problem problem; /* FT_OK: it was answered, wholly */
    void *asker;               /* whose it is: the hub's; of CARRIED and TOLD the relay's */
    uint64_t token;            /* the same */
};

/* Makes a question of this worker; `open` gets it back, and frees it. Fill in `body` and `asker`, then
 * hand it to ft_relay_ops.ask. */
struct ft_relay_ask *ft_relay_ask_new(uint32_t worker, enum ft_ask_kind kind,
                                      void (*open)(struct ft_letter *letter,
                                                   struct ft_worker *worker));
void ft_relay_ask_free(struct ft_relay_ask *ask);

/* Returns the question that came back as this letter. */
static inline struct ft_relay_ask *ft_relay_ask_of(struct ft_letter *letter)
{
    return (struct ft_relay_ask *)letter; /* the first member */
}

/* A session became present on a topic, or is not any more. */
struct ft_relay_presence {
    struct ft_relay_presence *next; /* the holder's */
    bool is_join;
    uint64_t since_ms; /* wall clock */
    uint8_t topic_len;
    uint32_t user_len; /* UINT32_MAX: nobody in particular */
    char session[16];
    uint8_t bytes[]; /* topic, user */
};

struct ft_relay_figures;

struct ft_relay_ops {
    /* Takes a batch, which comes back. Never refused here: ft_relay_ops.room says when to stop. */
    void (*publish)(void *relay, struct ft_relay_batch *batch);

    /* Returns for how many bytes of entries there is room, of `*most`; 0: refuse (503). Any thread, no lock. */
    size_t (*room)(void *relay, size_t *most);

    /* Says whether the partition's Redis server is reached now, so that waiting for it may help. Any thread, no
     * lock. */
    bool (*is_up)(void *relay, uint32_t partition);

    /* Something is wanted that was not. */
    void (*interest)(void *relay);

    /* Takes a question, which comes back with its answer or a problem, within relay.deadline. */
    void (*ask)(void *relay, struct ft_relay_ask *ask);

    /* Takes a change of presence, from malloc, and frees it. Changes of one session keep their order. */
    void (*presence)(void *relay, struct ft_relay_presence *change);

    /* Says why the node is not ready, in one line of valid UTF-8 that fits, NUL included; false: it is. Any
     * thread. */
    bool (*is_unready)(void *relay, char why[200]);

    /* Lends the relay's figures, hub/metrics.h. Any thread. */
    const struct ft_relay_figures *(*figures)(void *relay);
};

#endif
