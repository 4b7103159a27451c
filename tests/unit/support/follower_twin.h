/*
 * Who a follower works for in a test: its commands are kept in a queue, for a model of Redis (fake_stream.h) to
 * carry out; its journal looks at everything that comes: no hole, nothing twice, each publication behind the
 * one that was published before it, and where not, a gap. Assertions fail where that is not so.
 */
#ifndef FT_TESTS_FOLLOWER_TWIN_H
#define FT_TESTS_FOLLOWER_TWIN_H

#include "tests/unit/support/fake_stream.h"

#define FT_TWIN_FORGED UINT32_C(0x80000000)
#define FT_TWIN_EVENTS 512

/* On the channel, or on the node's own: behind everything that was published before. */
struct ft_twin_event {
    bool is_beat;
    struct ft_fake_message message; /* or of the beat: last, ms … */
    char name[FT_STREAM_NAME_LEN + 1];
};

enum ft_twin_kind { FT_TWIN_SUBSCRIBE, FT_TWIN_JOIN, FT_TWIN_RANGE, FT_TWIN_LOAD, FT_TWIN_BEAT };

struct ft_twin_command {
    enum ft_twin_kind kind;
    uint64_t a, b; /* of a join: the head … */
    uint64_t acked, born;
    char acked_name[FT_STREAM_NAME_LEN + 1];
    char name[FT_STREAM_NAME_LEN + 1];
    bool is_executed; /* its answer is as follows */
    struct ft_log_entry entries[FT_FOLLOWER_RANGE];
    struct ft_fake_message copies[FT_FOLLOWER_RANGE];
    uint32_t count, most;
    char stream[FT_STREAM_NAME_LEN + 1];
    uint64_t head, ms;
};

/* Offsets that Redis has given away once. */
struct ft_twin_given {
    char name[FT_STREAM_NAME_LEN + 1];
    uint64_t first, last;
};

struct ft_twin {
    uint64_t random;
    struct ft_follower *follower;
    struct ft_fake_stream redis, snapshot;
    uint32_t life; /* of Redis: how often it was started */
    uint64_t born; /* as this node knows it */
    struct {
        char name[FT_STREAM_NAME_LEN + 1];
        uint64_t head;
    } acked; /* to this node, the latest */
    struct ft_twin_given *given;
    uint32_t given_count, given_cap;
    bool has_snapshot, is_up, is_wanted, is_full, is_subscribed;
    bool is_forged;  /* somebody sends to the channel */
    bool is_calm;    /* messages are lost, doubled, damaged; and that is all */
    bool is_damaged; /* the log has something that cannot be read */
    uint32_t next_id;
    uint64_t now_ms;
    uint32_t range;
    struct ft_twin_event *events;
    uint32_t events_from, events_to;
    struct ft_twin_event heard; /* a beat that is not told yet */
    bool has_heard;
    struct ft_twin_command commands[8];
    uint32_t commands_count;
    struct ft_loaded *loaded;
    struct ft_load_plan plan;

    /* the journal */
    char stream[FT_STREAM_NAME_LEN + 1];
    uint64_t seq, base;
    uint32_t newest; /* 0: something unknown was before */
    uint64_t upto;   /* who has listened goes on behind it, as the gap told */
    bool needs_gap, owes_gap, is_joined;
    uint32_t gaps, live, last_id[FT_FAKE_TOPICS];
    uint8_t *delivered; /* by the number of the publication */
    uint8_t *owed;      /* the same: it was acknowledged to this node */
    uint32_t delivered_cap;
};

extern const struct ft_follower_ops ft_twin_ops;

/* The next number of its sequence, below `limit`. */
uint64_t ft_twin_chance(struct ft_twin *twin, uint64_t limit);

/* Adds a command to the queue; NULL: Redis is away. */
struct ft_twin_command *ft_twin_command(struct ft_twin *twin, enum ft_twin_kind kind);

/* Redis has published `count`, the last ones, and has acknowledged that to this node, or to another one. No
 * position may mean two things. */
void ft_twin_published(struct ft_twin *twin, const struct ft_fake_message *message, bool is_ours);

/* Returns how many were acknowledged, neither came, and nobody was told. */
uint32_t ft_twin_owes(const struct ft_twin *twin);

/* Returns how many of a kind wait. */
uint32_t ft_twin_waiting(const struct ft_twin *twin, enum ft_twin_kind kind);

#endif
