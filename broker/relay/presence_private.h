/*
 * What the files of presence in the relay share.
 *
 *     presence.c        who is present on this node, and in Redis
 *     presence_sync.c   what Redis has of this node: looked through after a connection was lost
 *     presence_reap.c   other nodes that are gone
 *     presence_ask.c    who is present in the whole cluster
 *
 * The relay's thread.
 */
#ifndef FT_RELAY_PRESENCE_PRIVATE_H
#define FT_RELAY_PRESENCE_PRIVATE_H

#include "broker/relay/presence_entry.h"
#include "broker/relay/private.h"

struct redisReply;

/* Dead instances that are remembered at a time; more have to wait. */
#define FT_SUSPECTS_MAX 32

/* Leaves that have to be told, kept while a server is away; past it the oldest is forgotten. */
#define FT_GONE_MAX 65536

struct ft_presences;
struct ft_presence_query;

/* A client that has left, and whom Redis may have still. */
struct ft_gone {
    struct ft_gone *next;
    bool is_told; /* its join was, so its leave has to be */
    struct ft_present who;
    uint8_t topic_len;
    uint8_t bytes[]; /* topic, user */
};

/* One server, as presence sees it. */
struct ft_here {
    struct ft_presences *all;
    struct ft_server *server;
    bool is_up;
    bool is_stopping;    /* leaves are on their way; then other nodes may have the rest */
    uint64_t round;      /* of registering: clients with another mark are not registered */
    uint32_t registered; /* clients of this node that were, in this round */
    uint32_t leaving;    /* leaves that are not answered */
    struct ft_gone *gone, **gone_end;
    uint32_t gone_count;

    bool is_synced, is_syncing, is_counting; /* presence_sync.c */
    uint64_t count_at_ms, counted_round;
    uint32_t counted; /* clients that were registered when it was asked how many are there */

    bool is_reaping; /* presence_reap.c */
    uint64_t reaped;
    uint64_t reap_at_ms;
    uint32_t suspect_count;
    struct {
        char instance[FT_INSTANCE_LEN];
        uint64_t since_ms;
        bool is_seen;
    } suspects[FT_SUSPECTS_MAX];
};

struct ft_presences {
    struct ft_relay *relay;
    struct ft_presence *table; /* of this node; client->mark: FT_MARK_… and the round */
    struct ft_here here[FT_SERVERS_MAX];
    uint64_t last_round;
    uint32_t turns;      /* clients that a walk has still to look at */
    uint64_t walk_at_ms; /* when another one begins, 0: none is wanted */
    struct ft_buffer command, text;
    struct ft_presence_query *queries;
};

/* In a client's mark: its join was told. The rest is 2 * the round in which it was registered. */
#define FT_MARK_TOLD 1

/* Returns the server that a topic's clients are on, and its partition. */
struct ft_here *ft_here_of(struct ft_presences *presences, struct ft_slice topic,
                           uint32_t *partition);

/* Says whether the server may be sent more, so that what waits for its socket stays small. */
bool ft_here_has_room(const struct ft_here *here);

/* Adds the key of a topic's clients, P:{k}:here:<topic>; of an instance's index, P:here:<instance>; of the list of
 * instances, P:here. */
void ft_here_add_key(struct ft_presences *presences, uint32_t partition, struct ft_slice topic);
void ft_here_add_index(struct ft_presences *presences, const char *instance);
void ft_here_add_registry(struct ft_presences *presences);

/* Begins a command in presences->command, and sends it. */
void ft_here_begin(struct ft_presences *presences, uint32_t args);
bool ft_here_send(struct ft_here *here, ft_reply_fn fn, void *context);

/* Publishes a join or a leave on all nodes. */
void ft_here_tell(struct ft_presences *presences, bool is_join, struct ft_slice topic,
                  const struct ft_present *who);

/* Has Redis forget a client that is not here, and tells its leave. */
void ft_here_remove(struct ft_here *here, struct ft_slice topic, const struct ft_present *who,
                    bool is_told);

/* All clients of this server are to be registered again. */
void ft_here_restart(struct ft_here *here);

void ft_here_sync(struct ft_here *here);
void ft_here_reap(struct ft_here *here);
void ft_presences_expire(struct ft_presences *presences); /* questions that take too long */

#endif
