/*
 * The relay: the thread that ties this node to the others through Redis. Fills in the hub's port
 * (hub/relay.h). The only folder that knows hiredis.
 */
#ifndef FT_RELAY_RELAY_H
#define FT_RELAY_RELAY_H

#include "broker/core/journal.h"
#include "broker/core/partitions.h"
#include "broker/hub/relay.h"

#define FT_RELAY_ERROR_MAX 512

struct ft_hub;
struct ft_relay;

struct ft_relay_options {
    const char *node, *version;
    const char *const
        *urls; /* valid: ft_redis_url_check(); partition k is at server k % url_count */
    uint32_t url_count;
    const char *prefix;
    struct ft_partitions partitions;
    uint32_t deadline_ms;           /* relay.deadline */
    size_t queue_bytes;             /* relay.queue: entries that wait for Redis, of all workers */
    uint32_t length;                /* relay.length: entries that a stream keeps at most … */
    uint32_t age_s;                 /* … and for so long … */
    size_t size_bytes;              /* relay.size: … and so many bytes, all streams together */
    size_t journal_bytes;           /* what warming may fill */
    size_t message_bytes;           /* limits.message */
    uint32_t retained, kept_topics; /* bounds of what Redis keeps by topic, per partition */
};

/* Says whether a text is the URL of a Redis server; if not, `error` says why, in one line. */
bool ft_redis_url_check(const char *url, char error[FT_RELAY_ERROR_MAX]);

/* Returns the number of the database that a valid URL names. Those of one cluster name the same. */
uint32_t ft_redis_url_database(const char *url);

/*
 * Makes a relay and begins to connect. Waits, for ten seconds at most, until every server has answered: an
 * unsuitable server, a cluster with other settings, or a name that another node has are reported in `error`,
 * in one line, and NULL is returned. A server that cannot be reached is not an error: the node serves what
 * it can and goes on trying.
 */
struct ft_relay *ft_relay_new(const struct ft_relay_options *options, struct ft_journal *journal,
                              char error[FT_RELAY_ERROR_MAX]);

/* Lent as long as the relay lives. */
const struct ft_relay_ops *ft_relay_ops(void);
struct ft_interest *ft_relay_interest(struct ft_relay *relay);

/* The hub is there: from here on publications come in. Before ft_loops_start(). */
void ft_relay_start(struct ft_relay *relay, struct ft_hub *hub);

/* Waits, for half a second at most, for what is on its way, says goodbye to Redis (the node's name is free
 * again) and ends the thread. The workers are still there: the ops answer them at once from now on, that the
 * broker is stopping (503). Before ft_loops_stop(). */
void ft_relay_stop(struct ft_relay *relay);
void ft_relay_free(struct ft_relay *relay);

/* Returns true when the node has to end because another one that was here before has its name. Any thread. */
bool ft_relay_is_expelled(struct ft_relay *relay);

#endif
