/*
 * What a client must have got by the protocol, kept the slow and obvious way: for every publication and
 * every client a bit for each filter that brought it. Reads what the broker sends, frame by frame, as a
 * client does; knows nothing of cursors, feeds and outboxes. A client of an event stream asks for nothing
 * but its stream, and keeps the last id that it saw, where the others keep the greatest position.
 *
 * It fails the test when something comes that no filter matches, or twice, or out of order, or after it
 * was said to be lost; when an `ok` says the wrong position; when a `gap` counts wrongly or covers what
 * is still kept; when a topic comes that its identity does not permit, or a subscription ends that the
 * identity still permits and no operator meant; and, asked at rest (ft_twin_check), when something is
 * missing of which nobody spoke.
 */
#ifndef FT_TESTS_FEED_TWIN_H
#define FT_TESTS_FEED_TWIN_H

#include "broker/core/policy.h"
#include "tests/unit/support/fake_node.h"

#define FT_TWIN_TOPICS       8
#define FT_TWIN_FILTERS      12
#define FT_TWIN_RIGHTS       3
#define FT_TWIN_USERS        2
#define FT_TWIN_PUBLICATIONS 16384

extern const char *const ft_twin_topics[FT_TWIN_TOPICS];
extern const char *const ft_twin_filters[FT_TWIN_FILTERS];
extern const char *const ft_twin_users[FT_TWIN_USERS];

/* What an identity may do: the first may everything. */
extern const char *const ft_twin_rights[FT_TWIN_RIGHTS];

/* The filters of those above, a bit each, that such an identity may subscribe to. */
extern const uint32_t ft_twin_allowed[FT_TWIN_RIGHTS];

/* What all clients see: which publication is where. */
struct ft_twin_world {
    uint64_t seed;
    uint64_t step; /* for messages */
    bool matches[FT_TWIN_FILTERS][FT_TWIN_TOPICS];
    bool permits[FT_TWIN_RIGHTS][FT_TWIN_TOPICS];
    enum ft_slow slow[FT_TWIN_TOPICS];
    bool is_throttled; /* some ask for less: of each topic the newest has to come */
    uint32_t numbers;  /* publications sent, numbered from 1 in their data */
    uint8_t topic_of[FT_TWIN_PUBLICATIONS]; /* by number */
    bool is_retained[FT_TWIN_PUBLICATIONS];
    uint32_t number_at[FT_TWIN_PUBLICATIONS]; /* by offset */
    uint64_t newest[FT_TWIN_TOPICS];          /* offset … */
    uint64_t retained_at[FT_TWIN_TOPICS];     /* … of what was retained, 0: nothing */
    uint64_t known;                           /* greatest offset that a publisher was told */
    /* Seen by clients. */
    uint32_t gaps, losses, recovered, unrecovered, claimless, messages, repeats;
    uint32_t snapshots, refused, ended, disconnected;
    uint32_t orders, evictions; /* of the operator: to unsubscribe, to disconnect */
};

/* What came from the broker, as far as clients look at it. */
struct ft_twin_event {
    enum ft_op op;                   /* FT_OP_NONE: a close frame */
    uint64_t id, offset, lost, tail; /* the last: of the journal, when it came */
    uint32_t number, topic, code;
    uint32_t filters; /* whose subscriptions have ended */
    bool has_recovered, recovered, has_lost, is_retained;
    bool has_place; /* a client goes on from here; false: an event without an id … */
    bool is_place;  /* … and an id without an event */
};

/* A request under way. */
struct ft_twin_request {
    uint64_t id, since;
    uint32_t filters; /* a bit each */
    uint32_t every_ms, last;
    uint32_t rights; /* of the token, where it is an `auth` */
    bool is_sub, is_auth, has_since, is_resume;
    bool names_other; /* stream, which the broker does not know */
    /* The rest is filled in as it is handled. */
    bool is_refused;     /* its identity may not */
    uint64_t head, tail; /* of the journal */
    bool was_behind;     /* or may have been: the session had not taken everything before */
    bool is_live;        /* it had, and still has */
};

#define FT_TWIN_REQUESTS 16

struct ft_twin {
    struct ft_fake_client fake;
    struct ft_twin_world *world;
    struct ft_twin_event *events; /* not looked at yet */
    uint32_t event_count, event_cap;
    uint32_t index;
    enum ft_frames frames;
    bool is_connected, was_blocked, was_ever_blocked;
    bool is_meddled_with;      /* by an operator, since it was last at rest */
    uint32_t rights;           /* of the identity that it knows it has … */
    uint32_t next_rights;      /* … and of the one that it will have after its requests */
    uint32_t every_ms, rewind; /* a stream's `every` and `last` */

    struct ft_twin_request requests[FT_TWIN_REQUESTS];
    uint32_t request_count;
    uint64_t last_id;

    uint32_t active;                    /* filters, a bit each */
    uint32_t rewound;                   /* … that were sent back within this connection */
    uint64_t promised[FT_TWIN_FILTERS]; /* all after it has to come, over all connections */
    uint64_t here[FT_TWIN_FILTERS];     /* … and over this one */
    uint64_t greatest;                  /* position seen; of a stream, the last one */
    uint64_t last;                      /* the next message comes after it */
    uint64_t last_of[FT_TWIN_TOPICS];   /* the same by topic */
    uint64_t spared;                    /* it may have been slow for anything up to here */
    uint64_t sound; /* nothing is missing up to here, as far as it was looked at in passing */
    uint64_t floor; /* up to here it was told that things may be missing */
    uint32_t brought[FT_TWIN_PUBLICATIONS]; /* by which filters, over this connection */
    bool got[FT_TWIN_PUBLICATIONS];         /* over any */

    uint64_t picked;                /* offset of the latest one of a snapshot */
    uint64_t cut;                   /* over this connection no snapshot is of after it */
    uint32_t looked_back;           /* filters with a snapshot … */
    uint64_t due[FT_TWIN_TOPICS];   /* … last values that still have to come: of up to here */
    uint64_t picks[FT_TWIN_TOPICS]; /* of a `last`: how many have come */
};

void ft_twin_world_init(struct ft_twin_world *world, uint64_t seed);

/* Tells a gate what tokens there are: of each user one with each of the rights. */
void ft_twin_tokens(struct ft_fake_gate *gate);

/* Connects with `next_rights`, and resumes with the filters that they allow and the position that it kept
 * where there were some. Without any, a stream does not connect. */
void ft_twin_connect(struct ft_twin *twin, struct ft_fake_node *node, uint32_t worker);

/* Connects a stream that has nothing to resume, with `next_rights`. */
void ft_twin_stream(struct ft_twin *twin, struct ft_fake_node *node, uint32_t worker,
                    const struct ft_twin_request *request);

/* Sends a request, within a turn. Takes `filters` and what comes after it of the request. */
void ft_twin_ask(struct ft_twin *twin, const struct ft_twin_request *request);

/* Looks at what has come, at most `most` frames of it, and forgets the rest where the connection is
 * about to break. */
void ft_twin_read(struct ft_twin *twin, uint32_t most);

/* The connection breaks. Within no turn. */
void ft_twin_drop(struct ft_twin *twin);

/* The client takes all that comes, and has read everything: nothing may be missing. */
void ft_twin_check(struct ft_twin *twin);

/* Takes a frame apart into an event; of a publisher as well as of a subscriber. */
void ft_twin_parse(const struct ft_fake_client *fake, uint8_t opcode, struct ft_slice payload,
                   struct ft_twin_event *event);

#endif
