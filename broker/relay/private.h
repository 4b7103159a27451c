/*
 * What the files of the relay share: one thread, its loop, the servers, the partitions. Nothing here is
 * touched by another thread but where it says so.
 *
 *     relay.c       the relay as others see it; thread.c its thread: inbox, tick, who is told what
 *     sink.c        what was taken in, to the journal
 *     server.c      one Redis server: connections, checks, beats (server.h, server_private.h)
 *     partition.c   one partition: joining, taking in, healing. What decides is pure: follower.c, follow.c,
 *                   held.c, seen.c, loaded.c; load.c reads what was there before, intake.c lays out what comes
 *     lives.c       where lives of Redis begin in a partition's stream
 *     outgoing.c    publishes: from batches to scripts and back; results.c what the script answers
 *     inlet.c       PUBLISH <prefix>:in:<topic> of other software
 *     ask.c         orders for all nodes, who is connected to them, and roll.c: which there are; presence.c who
 *                   is there
 *     ask_heard.c   what other nodes ask, and their answers
 *     gauges.c      figures that are looked up: in flight, lag, …
 *     command.c     commands in Redis' protocol; script.c, scripts/: what runs inside Redis
 */
#ifndef FT_RELAY_PRIVATE_H
#define FT_RELAY_PRIVATE_H

#include "broker/hub/interest.h"
#include "broker/hub/metrics.h"
#include "broker/relay/command.h"
#include "broker/relay/relay.h"
#include "broker/relay/server.h"

#include <uv.h>

/* Most Redis servers of one cluster. */
#define FT_SERVERS_MAX 16

/* How often ft_…_tick() are called. */
#define FT_RELAY_TICK_MS 100

struct ft_asks;
struct ft_inlet;
struct ft_outgoing;
struct ft_part;
struct ft_presences;

struct ft_relay {
    struct ft_relay_options options; /* texts copied */
    char instance[FT_INSTANCE_LEN + 1];
    uint64_t started_ms;  /* wall clock */
    char *prefix;         /* of keys */
    char *channel_prefix; /* the same, with "@N" where database N is not 0 … */
    uv_loop_t loop;
    uint64_t now_ms, wall_ms; /* monotonic and wall clock, when this callback began */
    struct ft_hub *hub;       /* NULL until ft_relay_start() */
    struct ft_journal *journal;
    struct ft_journal_writer *writer;
    struct ft_interest interest;
    struct ft_server *servers[FT_SERVERS_MAX];
    uint32_t server_count;
    struct ft_part *parts[FT_PARTITIONS_MAX]; /* all of them, by number */
    struct ft_outgoing *outgoing;
    struct ft_inlet *inlet;
    struct ft_asks *asks;
    struct ft_presences *presences;
    struct ft_relay_figures figures; /* counters: whoever sees it happen; gauges: gauges.c */
    struct ft_thread *thread_;       /* relay.c's */
};

/* Returns how many publications a stream is behind: it stands at `head`, and in Redis at `truth`. What is left out
 * before the life of Redis that began at `base` is none. */
static inline uint64_t ft_relay_lag(uint64_t head, uint64_t truth, uint64_t base)
{
    uint64_t from = head > base ? head : base;
    return truth > from ? truth - from : 0;
}

static inline struct ft_server *ft_relay_server(struct ft_relay *relay, uint32_t partition)
{
    return relay->servers[partition % relay->server_count];
}

/* ---- thread.c ---- */

/* A callback begins: the clocks are read. */
void ft_relay_enter(struct ft_relay *relay);

/* The server is UP, or is not any more: everybody who lives on it goes on, or waits. */
void ft_relay_up(struct ft_relay *relay, struct ft_server *server);
void ft_relay_down(struct ft_relay *relay, struct ft_server *server);

/* A message has come that is no echo of a beat. */
void ft_relay_message(struct ft_relay *relay, struct ft_server *server, struct ft_slice channel,
                      struct ft_slice payload);

/* What became of the attempt to reach server `index`. `why`: what is wrong, NULL where nothing is; `is_final`:
 * it will not go by itself, so that a node which is just starting gives up. */
void ft_relay_report(struct ft_relay *relay, uint32_t index, bool is_final, const char *why);

/* Says whether ft_relay_new() has returned; if so, ends the node: another one has its name. */
bool ft_relay_is_serving(const struct ft_relay *relay);
void ft_relay_expel(struct ft_relay *relay, const char *why);

/* ---- sink.c ---- */

/*
 * Takes a publication that was built with relay->writer; always, and in the order in which they are built.
 * What was taken goes to the journal at the end of this turn of the loop, in one go. Returns false when the
 * journal has no room: then build no more until ft_part_resume(); Pub/Sub is not read as long.
 */
bool ft_relay_append(struct ft_relay *relay, struct ft_publication *publication);

/* Says whether the journal has taken all it was given. */
bool ft_relay_has_room(const struct ft_relay *relay);

/* Appends what was taken now, so that the journal is where its caller is; false: it has no room. */
bool ft_relay_flush(struct ft_relay *relay);

/* ---- partition.c ---- */

struct ft_part *ft_part_new(struct ft_relay *relay, uint32_t number);
void ft_part_free(struct ft_part *part);
void ft_part_up(struct ft_part *part);   /* its server is UP: join, or go on where it was */
void ft_part_down(struct ft_part *part); /* its server is AWAY */
void ft_part_tick(struct ft_part *part); /* join what is wanted, leave what was not for a while */

/* A message on its channel. */
void ft_part_message(struct ft_part *part, struct ft_slice payload);

/* Says whether the beat shall tell its head. */
bool ft_part_is_joined(const struct ft_part *part);

/* The beat has been heard on the node's channel; what it says follows, at once or later. */
void ft_part_heard(struct ft_part *part);

/* What the beat has told, behind everything that was published before: the stream's name and its head, and the
 * `ms` of the head, and where its life begins. An empty name: Redis knows no such stream (any more). */
void ft_part_beat(struct ft_part *part, struct ft_slice stream, uint64_t head, uint64_t ms,
                  uint64_t base);

/* The journal has room again. */
void ft_part_resume(struct ft_part *part);

struct ft_part_figures {
    bool is_wanted, is_joined, is_healing;
    char stream[FT_STREAM_NAME_LEN + 1];
    uint64_t head; /* journaled */
    uint64_t lag;  /* as far as is known */
};
void ft_part_figures(const struct ft_part *part, struct ft_part_figures *figures);

/* What this node has seen of the stream: the publish script is told, so that a Redis that has lost data
 * cannot give an offset away twice. Empty name: nothing. */
void ft_part_seen(const struct ft_part *part, char stream[FT_STREAM_NAME_LEN + 1], uint64_t *head);

/* Redis has told when a stream of it began; no earlier one can come after the latest. */
void ft_part_note_born(struct ft_part *part, uint64_t ms);

/* ---- outgoing.c ---- */

struct ft_outgoing *ft_outgoing_new(struct ft_relay *relay);
void ft_outgoing_free(struct ft_outgoing *outgoing); /* after the workers */

/* Gives back what it has, as lost; nothing is taken any more, but room is still asked for. */
void ft_outgoing_stop(struct ft_outgoing *outgoing);

/* Composes the command, and counts the batch: ft_relay_ops.publish, before it goes to the relay's thread. Any
 * thread, no lock. */
void ft_outgoing_prepare(struct ft_outgoing *outgoing, struct ft_relay_batch *batch);
void ft_outgoing_take(struct ft_outgoing *outgoing, struct ft_relay_batch *batch); /* one, owned */
void ft_outgoing_up(struct ft_outgoing *outgoing, struct ft_server *server);
void ft_outgoing_down(struct ft_outgoing *outgoing, struct ft_server *server);
void ft_outgoing_tick(struct ft_outgoing *outgoing); /* deadlines */

/* Returns the stream of a partition of which Redis has acknowledged something to this node, the latest, and the
 * greatest offset; empty and 0: none. It may be beyond what has come on the channel. */
const char *ft_outgoing_acknowledged(const struct ft_outgoing *outgoing, uint32_t partition,
                                     uint64_t *head);
size_t ft_outgoing_room(const struct ft_outgoing *outgoing, size_t *most); /* any thread */

/* Publishes something of the broker's own from the relay's thread, ephemeral, on all nodes: a topic that begins
 * with '$', and a JSON value. */
void ft_relay_announce(struct ft_relay *relay, struct ft_slice topic, struct ft_slice json);

/* ---- inlet.c ---- */

struct ft_inlet *ft_inlet_new(struct ft_relay *relay);
void ft_inlet_free(struct ft_inlet *inlet);
void ft_inlet_up(struct ft_inlet *inlet, struct ft_server *server);
void ft_inlet_down(struct ft_inlet *inlet, struct ft_server *server);
void ft_inlet_tick(struct ft_inlet *inlet);
void ft_inlet_leave(struct ft_inlet *inlet); /* the node ends: another one may take over at once */

/* Returns true where the message was for it. */
bool ft_inlet_message(struct ft_inlet *inlet, struct ft_server *server, struct ft_slice channel,
                      struct ft_slice payload);

/* ---- ask.c ---- */

struct ft_asks *ft_asks_new(struct ft_relay *relay);
void ft_asks_free(struct ft_asks *asks);
void ft_asks_take(struct ft_asks *asks, struct ft_relay_ask *ask);
void ft_asks_up(struct ft_asks *asks, struct ft_server *server);
void ft_asks_down(struct ft_asks *asks, struct ft_server *server);
void ft_asks_tick(struct ft_asks *asks);

/* Adds what the node says of itself beside its beats, for the hash of all nodes: as much as concerns this
 * server. See roll.c. */
void ft_asks_describe(struct ft_asks *asks, struct ft_server *server, struct ft_buffer *out);

/* A message on the channel of all nodes, or an answer on the node's own; true where it was for it. */
bool ft_asks_message(struct ft_asks *asks, struct ft_server *server, struct ft_slice channel,
                     struct ft_slice payload);

/* ---- gauges.c ---- */

/* Brings the gauges among relay->figures up to date. Every tick. */
void ft_relay_gauges(struct ft_relay *relay);

/* ---- presence.c ---- */

struct ft_presences *ft_presences_new(struct ft_relay *relay);
void ft_presences_free(struct ft_presences *presences);
void ft_presences_take(struct ft_presences *presences, struct ft_relay_presence *change);
void ft_presences_ask(struct ft_presences *presences, struct ft_relay_ask *ask);
void ft_presences_up(struct ft_presences *presences, struct ft_server *server);
void ft_presences_down(struct ft_presences *presences, struct ft_server *server);
void ft_presences_tick(struct ft_presences *presences);
void ft_presences_stop(struct ft_presences *presences); /* this node's sessions leave now */

#endif
