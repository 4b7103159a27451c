/*
 * Who is present on which topic: a table of clients, each under its topic in the order in which they came, and
 * all of them in a ring, so that a holder can go round in portions while the table changes.
 *
 *     topic "room/1"   k3f9… (ann) ─▶ 8jq2… (nobody) ─▶ …        oldest first
 *     topic "room/2"   k3f9… (ann) ─▶ …
 *
 * Pure and without a lock: the holder keeps threads apart. A node on its own has one of all its sessions
 * (hub/presence.h); in a cluster the relay has one of its node's.
 */
#ifndef FT_CORE_PRESENCE_H
#define FT_CORE_PRESENCE_H

#include "protocol/buffer.h"
#include "protocol/error.h"
#include "protocol/scan.h"
#include "protocol/topic.h"
#include "protocol/writer.h"

/* Clients that one table holds: each is a subscription of a session, and takes 100 bytes and its user. */
#define FT_PRESENCE_MAX (1u << 20)

/* Characters of a session's id. */
#define FT_PRESENT_SESSION_LEN 16

/* Bytes of a user. */
#define FT_PRESENT_USER_MAX 255

/* Clients that one answer lists; its count is of all. */
#define FT_PRESENCE_LISTED_MAX 1000

/* What is in front of a topic's name where its joins and leaves are told. */
#define FT_PRESENCE_PREFIX "$presence/"

struct ft_presence;
struct ft_presence_topic_;

/* Who is present. */
struct ft_present {
    char session[FT_PRESENT_SESSION_LEN];
    uint64_t since_ms;    /* wall clock */
    struct ft_slice user; /* absent: nobody in particular */
};

/* A client in a table; lent until it leaves. */
struct ft_presence_client {
    struct ft_present who;
    uint64_t mark; /* the holder's: 0 at first */

    struct ft_presence_topic_ *topic_;
    struct ft_presence_client *chain_; /* of the hash table */
    uint64_t hash_;
    struct ft_presence_client *next_, *before_;           /* of the topic */
    struct ft_presence_client *ring_next_, *ring_before_; /* of all */
};

/* Makes a table. `seed` makes its hashes unpredictable to peers; `max`: clients that it holds. */
struct ft_presence *ft_presence_new(uint64_t seed, uint32_t max);
void ft_presence_free(struct ft_presence *presence); /* NULL is allowed */

/* Adds a client to a valid topic, as the newest there and the last of the ring; all is copied. Returns NULL
 * where that session is there already (it stays as it is), or the table is full. */
struct ft_presence_client *ft_presence_join(struct ft_presence *presence, struct ft_slice topic,
                                            const struct ft_present *who);

/* Returns the client, or NULL. */
struct ft_presence_client *ft_presence_find(const struct ft_presence *presence,
                                            struct ft_slice topic,
                                            const char session[FT_PRESENT_SESSION_LEN]);

/* Removes a client. */
void ft_presence_leave(struct ft_presence *presence, struct ft_presence_client *client);

/* Returns how many are present on a topic, and sets `*first` (may be NULL) to the one that came first. */
uint32_t ft_presence_count(const struct ft_presence *presence, struct ft_slice topic,
                           const struct ft_presence_client **first);

static inline const struct ft_presence_client *ft_presence_next(
    const struct ft_presence_client *client)
{
    return client->next_;
}

struct ft_slice ft_presence_topic(const struct ft_presence_client *client);

/* Moves the first of the ring to its end and returns it, NULL where there is nobody: so many calls as there
 * are clients meet each of them once, whoever joins or leaves meanwhile (who joins comes behind all). */
struct ft_presence_client *ft_presence_turn(struct ft_presence *presence);

/* Clients under all topics, and topics with one or more. */
uint32_t ft_presence_clients(const struct ft_presence *presence);
uint32_t ft_presence_topics(const struct ft_presence *presence);

/* ---- what is told ---- */

/* Writes "$presence/<topic>" and returns it; absent where that would be no topic. On such a topic, which is
 * longer than 245 bytes or has 32 levels, nobody can be present (SPEC.md section 6). */
struct ft_slice ft_presence_event_topic(struct ft_slice topic, char text[FT_TOPIC_BYTES_MAX]);

/* Writes {"event":"join"|"leave","session":…,"user":…}. */
void ft_presence_write_event(struct ft_writer *writer, bool is_join, const struct ft_present *who);

/* Writes {"session":…,"user":…,"since":…}. */
void ft_presence_write_client(struct ft_writer *writer, const struct ft_present *who);

/* Reads one that was written in MessagePack, from where the scan stands. False: it is not one. */
FT_MUST_USE bool ft_presence_read_client(struct ft_scan *scan, struct ft_present *who);

#endif
