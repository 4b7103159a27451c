/*
 * A follower takes one partition's stream from Redis into the journal: in order, nothing twice, and nothing
 * left out without a word (a GAP marker). This is the machine alone: what it wants done it says through
 * `ops`, what happens it is told; it knows neither Redis nor a clock nor the journal.
 *
 *      OFF ──wanted──▶ SUBSCRIBING ──confirmed──▶ JOINING ──▶ LOADING ──▶ POURING ──▶ FOLLOWING
 *       ▲                                            │ the stream as before              ▲ │
 *       │                                            └───────────────────────────────────┘ │
 *       └────────── the server is away; or nobody has wanted it for FT_FOLLOWER_GRACE_MS ──┘
 *
 * While it follows, a message either goes on where the last one ended; or it is old; or there is a hole before
 * it. A hole is filled from the log, by ranges, one at a time; messages wait for that (held.h), or are read
 * from the log as well. Where the log does not have it (any more), a GAP marker goes in, and what topics keep
 * is loaded again.
 *
 * Anybody who reaches Redis can send to the channel. So what a message claims is not known: it is compared
 * with what Redis itself says, by the log, as it is joined, and by the beat, which comes behind everything
 * that was published before. `confirmed` is how far that goes. Messages that claimed more were forged.
 *
 * A Redis that was started again may have lost what it had acknowledged. It begins with a message that says which
 * one it really follows, and leaves out so many offsets that none of them is given away a second time
 * (scripts/publish.lua). Where that is the head, the journal skips them, and nothing was lost. Where more had
 * come, it is fenced: Redis is told that there was more, and a new stream begins, for all nodes. The same
 * where numbers are given away a second time nevertheless, which shows by the `ms` of messages.
 *
 * Where such a life begins every message says, and it is only shown to clients (core/streams.h): the channel is not
 * believed, but the log is.
 */
#ifndef FT_RELAY_FOLLOWER_H
#define FT_RELAY_FOLLOWER_H

#include "broker/core/publication.h"
#include "broker/core/relay_message.h"
#include "broker/relay/loaded.h"

/* Left so long after nobody wants it any more. */
#define FT_FOLLOWER_GRACE_MS 30000

/* Most messages of one range. */
#define FT_FOLLOWER_RANGE 64

/* So many publications behind, and nobody listening: it is joined as for the first time. */
#define FT_FOLLOWER_FAR 65536

/* `lost` of a GAP marker where the number is not known. */
#define FT_LOST_UNKNOWN 0

enum ft_follower_state {
    FT_FOLLOWER_OFF,
    FT_FOLLOWER_SUBSCRIBING,
    FT_FOLLOWER_JOINING,
    FT_FOLLOWER_LOADING,
    FT_FOLLOWER_POURING,
    FT_FOLLOWER_FOLLOWING
};

enum ft_rejected_message {
    FT_MESSAGE_FOREIGN,
    FT_MESSAGE_VERSION,
    FT_MESSAGE_DAMAGED,
    FT_MESSAGE_TOO_LARGE,
    FT_MESSAGE_SPOOFED,
    FT_MESSAGE_CONFLICT,
    FT_MESSAGE_REASONS
};

/* An entry on its way to the journal. */
struct ft_follower_entry {
    enum ft_entry kind;
    uint64_t seq;         /* 0: it is ephemeral */
    uint64_t at_ms;       /* wall clock of Redis; of an ephemeral one, of the node it came from */
    struct ft_slice name; /* of the stream; of a restored one, of its own … */
    uint64_t base;        /* … and where its life began in that */
    const struct ft_relay_entry *entry;
};

/* Those of the first part return false, or 0, where it cannot be done now since the server is not there; otherwise
 * one call of ft_follower_…() follows, later, not from within. */
struct ft_follower_ops {
    bool (*subscribe)(void *part);
    bool (*join)(void *part, const char *seen, uint64_t head);
    bool (*load)(void *part, struct ft_loaded *loaded, const struct ft_load_plan *plan);

    /* Returns how many messages were asked for, up to FT_FOLLOWER_RANGE: fewer mean that the log has no more. */
    uint32_t (*range)(void *part, uint64_t ms, uint64_t after);

    void (*unsubscribe)(void *part);

    /* The journal's. Without room nothing is appended, until ft_follower_resume(). */
    bool (*has_room)(void *part);
    bool (*flush)(void *part);
    void (*forget_topics)(void *part);
    void (*open_stream)(void *part, const char *name, uint64_t after);
    void (*skip)(void *part, uint64_t after);

    /* A life of Redis begins behind `base`; and the base of the one that `seq` is of, as far as is known. */
    void (*life)(void *part, uint64_t base);
    uint64_t (*base)(void *part, uint64_t seq);

    void (*append)(void *part, const struct ft_follower_entry *entry);
    void (*gap)(void *part, uint64_t upto, uint64_t lost); /* who listened goes on behind `upto` */

    /* From here on the node has everything. */
    void (*joined)(void *part);

    /* It is left, unless somebody wants it by now. */
    bool (*leave)(void *part);

    void (*rejected)(void *part, enum ft_rejected_message why);
};

struct ft_follower_options {
    uint32_t partition;
    const char *instance; /* of this node, FT_INSTANCE_LEN characters */
    size_t message_bytes; /* longest data */
};

/* What happened, since the beginning. */
struct ft_follower_figures {
    uint64_t joins, holes, healed, gaps, warmed, restored, received, ephemeral;
};

struct ft_follower;

/* `options` are copied, `instance` is lent. */
struct ft_follower *ft_follower_new(const struct ft_follower_options *options,
                                    const struct ft_follower_ops *ops, void *part);
void ft_follower_free(struct ft_follower *follower);

/* Time passes; call it every 100 ms or so. */
void ft_follower_tick(struct ft_follower *follower, bool is_wanted, uint64_t now_ms);

void ft_follower_up(struct ft_follower *follower, bool is_wanted);
void ft_follower_down(struct ft_follower *follower);

/* The journal has room again. */
void ft_follower_resume(struct ft_follower *follower);

/* A message on the channel. */
void ft_follower_message(struct ft_follower *follower, struct ft_slice message);

/* The beat has come by the channel, behind everything that was published before it: what messages have claimed
 * until now, it has to bear out. */
void ft_follower_heard(struct ft_follower *follower);

/* What that beat says; now, or later. `stream` is empty where Redis knows none. */
void ft_follower_beat(struct ft_follower *follower, struct ft_slice stream, uint64_t head,
                      uint64_t ms);

/* ---- answers. FT_ANSWER_LOST: the connection was; FT_ANSWER_ERROR: Redis said so ---- */

enum ft_answer { FT_ANSWER, FT_ANSWER_ERROR, FT_ANSWER_LOST };

void ft_follower_subscribed(struct ft_follower *follower, enum ft_answer answer);
void ft_follower_joined(struct ft_follower *follower, enum ft_answer answer, struct ft_slice stream,
                        uint64_t head, uint64_t ms);

/* An entry of the log. */
struct ft_log_entry {
    uint64_t ms, last; /* its id */
    struct ft_slice message;
};

void ft_follower_range(struct ft_follower *follower, enum ft_answer answer,
                       const struct ft_log_entry *entries, uint32_t count);

/* `loaded` is sealed; whatever the answer, the follower frees it later. */
void ft_follower_loaded(struct ft_follower *follower, enum ft_answer answer);

/* ---- how it is ---- */

enum ft_follower_state ft_follower_state(const struct ft_follower *follower);
bool ft_follower_is_healing(const struct ft_follower *follower);

/* The stream as it is in the journal, and its head there; empty: none. */
const char *ft_follower_stream(const struct ft_follower *follower, uint64_t *head);

/* What is certain of it: for the scripts, which compare that with what Redis has. */
uint64_t ft_follower_confirmed(const struct ft_follower *follower);

/* What Redis has, as far as is known. */
uint64_t ft_follower_truth(const struct ft_follower *follower);

const struct ft_follower_figures *ft_follower_figures(const struct ft_follower *follower);

#endif
