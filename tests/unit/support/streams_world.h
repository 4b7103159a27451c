/*
 * The world of the model of many streams: partitions as Redis has them, nodes that journal them each in its own
 * order, and what a client must have got, by positions, `recovered` and gaps alone.
 *
 * A client fails the test when something comes that was never there or not asked for, twice, or out of order; when
 * an `ok` or a `gap` says wrong places; when `recovered` is false where nothing is lost. What has to come is
 * checked at rest, by who uses this.
 */
#ifndef FT_TESTS_STREAMS_WORLD_H
#define FT_TESTS_STREAMS_WORLD_H

#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define NODES      2
#define PARTITIONS 4
#define CLIENTS    6
#define EVENTS     2 /* of these, event streams */
#define NAMES      64
#define SEQS       4096
#define TOPICS     8
#define FILTERS    8
#define EPHEMERAL  "e/3" /* a topic that no partition numbers; the first filter alone matches it */

#define LARGE ((size_t)16 << 20)
#define SMALL ((size_t)16 << 10)

extern const char *const ft_model_topics[TOPICS];
extern const char *const ft_model_filters[FILTERS];

struct ft_model_plan {
    uint64_t seed;
    uint32_t steps;
    size_t journal_bytes;
    uint32_t loses, renames, restarts; /* one in so many; 0: never */
    bool has_changes;                  /* there is any of these, or the journal is too small */
};

/* A stream: what is in Redis. */
struct ft_model_stream {
    char name[FT_STREAM_NAME_LEN + 1];
    uint32_t partition;
    uint64_t head;
    uint8_t topic[SEQS];
    bool is_retained[SEQS];
};

struct ft_model_node {
    struct ft_fake_node fake;
    struct ft_fake_relay relay;
    struct ft_journal_writer *writer;
    uint32_t name[PARTITIONS];                     /* index of the stream that it follows */
    uint64_t applied[PARTITIONS], gap[PARTITIONS]; /* the last: position of its latest marker */
    bool is_stale[PARTITIONS]; /* it has lost some: its last values may not be those of Redis */
    uint32_t marks[PARTITIONS];
    bool is_behind; /* for a while: it takes little of what is there */
};

/* A position; the name is an index, or NAMES: none. */
struct ft_model_place {
    uint32_t name;
    uint64_t seq;
};

struct ft_model_client {
    struct ft_fake_client fake;
    struct ft_model *m;
    struct ft_model_node *node;
    enum ft_frames frames;
    bool is_connected, is_deaf, is_rewound, is_resume, is_ok, was_slow;
    uint32_t sleeps;        /* steps in which it takes nothing */
    uint32_t active, asked; /* filters, a bit each; the latter with a `sub` under way */
    bool has_since;
    uint64_t since[NAMES]; /* named by it; UINT64_MAX: not */
    uint64_t seen[NAMES];  /* the same, to go on from */
    struct ft_model_place promised[FILTERS][PARTITIONS];
    struct ft_model_place
        floor[PARTITIONS]; /* it was too slow for some up to here: told before all else */
    struct ft_model_place due[TOPICS];      /* last value that has to come */
    struct ft_model_place here[PARTITIONS]; /* where its node was when it asked … */
    bool is_stalled;                        /* … and perhaps is not, when it answers */
    uint64_t last[NAMES];                   /* in this connection */
    uint64_t told[NAMES]; /* the same: by the last id, but for those of last values */
    uint32_t hears;       /* so many messages more, before all else is lost on the way */
    uint32_t gaps, most_gaps, least_gaps; /* of the relay, in this connection */
    bool got[NAMES][SEQS], brought[NAMES][SEQS];
};

struct ft_model {
    const struct ft_model_plan *plan;
    uint64_t random;
    struct ft_partitions partitions;
    uint32_t partition_of[TOPICS];
    bool touches[FILTERS][PARTITIONS], matches[FILTERS][TOPICS];
    struct ft_model_stream *streams;
    uint32_t names, current[PARTITIONS];
    struct ft_model_node nodes[NODES];
    struct ft_model_client *clients[CLIENTS];
    bool is_resting;
    uint32_t messages, ephemeral, stalled, recovered, unrecovered, gaps, slow, retained, warmed,
        resumes;
};

#define HOLDS(what, client, ...)                                                   \
    do {                                                                           \
        if (!(what)) {                                                             \
            fprintf(stderr, "seed %lu: ", (unsigned long)(client)->m->plan->seed); \
            fprintf(stderr, __VA_ARGS__);                                          \
            fprintf(stderr, "\n");                                                 \
            cr_assert(what);                                                       \
        }                                                                          \
    } while (0)

/* Returns a random number below `limit`; true in one case of `n`, of 0 never. */
uint64_t ft_model_below(struct ft_model *m, uint64_t limit);
bool ft_model_one_in(struct ft_model *m, uint64_t n);

/* Partitions: a new stream takes a partition's place; somebody publishes somewhere. */
void ft_model_new_stream(struct ft_model *m, uint32_t partition);
void ft_model_publish(struct ft_model *m);

/* A node begins, and takes up all partitions; it ends, without clients. */
void ft_model_node_begin(struct ft_model *m, struct ft_model_node *node);
void ft_model_node_end(struct ft_model_node *node);

/* Lets a node go on in a partition by one publication; where it need not be sound, it may lose some. */
void ft_model_follow(struct ft_model *m, struct ft_model_node *node, uint32_t partition,
                     bool is_sound);

/* Has something ephemeral published on a node. */
void ft_model_add_ephemeral(struct ft_model_node *node);

/* A client subscribes, within a turn, from `since` by stream (UINT64_MAX: not named) or live (NULL); and reads. */
void ft_model_ask(struct ft_model_client *c, uint32_t wanted, const uint64_t *since);
void ft_model_read(struct ft_fake_client *fake, uint8_t opcode, struct ft_slice payload);

#endif
