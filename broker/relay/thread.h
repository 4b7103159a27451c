/*
 * The relay's thread, and how others hand things to it. For relay.c, thread.c and sink.c.
 */
#ifndef FT_RELAY_THREAD_H
#define FT_RELAY_THREAD_H

#include "broker/relay/private.h"

#include <pthread.h>

/* What was taken in and is not in the journal yet. */
struct ft_sink {
    struct ft_publication **taken;
    uint32_t first, count, cap; /* appended up to `first` */
    bool is_full;               /* the journal has refused: Pub/Sub is not read */
    bool has_appended;          /* since the workers were woken */
    uv_timer_t retry;
};

/* What waits for the thread. Handed over as it is: in order, each kind by itself. */
struct ft_inbox {
    struct ft_relay_batch *batches, **batches_end;
    struct ft_relay_ask *asks, **asks_end;
    struct ft_relay_presence *changes, **changes_end;
    bool is_wanted; /* a partition that was not */
};

/* What is known of a server, for other threads. */
struct ft_server_report {
    bool is_judged, is_final;
    char why[FT_RELAY_ERROR_MAX];
};

struct ft_thread {
    pthread_t id;
    bool is_running;
    uv_async_t wake;
    uv_prepare_t before_sleep;
    uv_timer_t tick;
    struct ft_sink sink;
    uint32_t stop_ticks; /* since it was told to stop */

    pthread_mutex_t lock;
    pthread_cond_t judged; /* a server was, for the first time */
    struct ft_inbox inbox; /* from here on under the lock */
    struct ft_hub *hub;    /* NULL until ft_relay_start() */
    bool is_stopping;
    bool is_closed; /* nothing is taken any more */
    struct ft_server_report reports[FT_SERVERS_MAX];

    _Atomic bool is_up[FT_SERVERS_MAX];
    _Atomic bool is_serving, is_expelled;
};

/* Begins with an empty inbox. */
void ft_inbox_init(struct ft_inbox *inbox);

/* Gives back what nobody will do: the broker is stopping. Any thread. */
void ft_inbox_refuse(struct ft_inbox *inbox, struct ft_hub *hub);

/* Starts the thread; ends it: says goodbye to Redis and gives back what it has. */
void ft_thread_start(struct ft_relay *relay);
void ft_thread_stop(struct ft_relay *relay);

/* ---- sink.c ---- */

void ft_sink_init(struct ft_relay *relay);
void ft_sink_fini(struct ft_relay *relay); /* appends what it can; closes its timer */

/* The turn is over: what was taken is appended, and the workers hear of it. */
void ft_sink_end_turn(struct ft_relay *relay);

#endif
