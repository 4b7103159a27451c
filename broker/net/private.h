/*
 * What the files of net/ share: a worker's loop, and a connection. The only folder that knows
 * libwebsockets, so this header is for it alone.
 */
#ifndef FT_NET_PRIVATE_H
#define FT_NET_PRIVATE_H

#include "broker/net/loops.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

/* Bytes that one recv() takes, and so the most of a burst that is handled, and sent on, in one turn:
 * fan-out of bursts of 32 KB cost 0.16 CPU s per million deliveries with 64 KiB and 0.33 with 16 KiB.
 * Memory per connection does not grow with it, see lws_memory.c. */
#define FT_RX_BYTES 65536

/*
 * A connection that is not a WebSocket (yet): it has a time for its request, and may be there only to
 * be refused. libwebsockets carries it as the wsi's opaque data, NULL once it is upgraded.
 */
struct ft_arrival {
    struct ft_wheel_timer timer;
    int fd;
    bool is_over_limit; /* of limits.connections: anything but an upgrade is answered */
};

struct ft_listener {
    int fd;
    char address[64]; /* as in "127.0.0.1:8080" */
};

struct ft_accepter {
    uv_poll_t poll;
    struct ft_net *net;
    int fd;
    bool is_paused; /* until the next tick, after running out of descriptors */
};

/* One worker's loop. */
struct ft_net {
    struct ft_loops *loops;
    struct ft_worker *worker;
    uint32_t index;
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_prepare_t before_sleep;
    uv_idle_t again; /* keeps the loop from sleeping while there is more to do */
    uv_timer_t tick;
    uv_timer_t quick; /* runs while the worker asks for more turns */
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct ft_accepter *accepters; /* one for each listener */
    struct ft_wheel arrivals;      /* timers of struct ft_arrival */
    bool in_turn;
    bool is_stopping;
    uint64_t stop_at_ms;  /* monotonic */
    struct ft_buffer out; /* for HTTP responses */
};

struct ft_loops {
    struct ft_loops_options options; /* as at the start */
    struct ft_listener *listeners;   /* options.listen_count for each worker, worker by worker */
    struct ft_net *nets;
    uint32_t places; /* for connections, of the limit on open files */
    uint32_t refusals_max;
    _Atomic uint32_t connections_max;
    _Atomic uint32_t shutdown_ms;
    _Atomic uint32_t connections;
    _Atomic bool stop;
};

/* A WebSocket connection: libwebsockets' user data of one, zeroed by it. */
struct ft_ws_conn {
    struct lws *wsi;
    int fd;
    bool is_open;
    struct ft_session session;
};

/* Notes that an event is about to be handled. Every way into a turn calls it first. */
void ft_net_enter(struct ft_net *net);

static inline struct ft_net *ft_net_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* listener.c: opens all sockets, or says in `error` why not. */
bool ft_listeners_open(struct ft_loops *loops, char error[FT_LOOPS_ERROR_MAX]);
void ft_listeners_close(struct ft_loops *loops);
bool ft_limits_settle(struct ft_loops *loops, char error[FT_LOOPS_ERROR_MAX]);

/* accept.c */
void ft_accept_start(struct ft_net *net);
void ft_accept_retry(struct ft_net *net); /* every tick */
void ft_accept_stop(struct ft_net *net);

/* arrival.c: the time that connections have for their requests. */
struct ft_arrival *ft_arrival_new(struct ft_net *net, int fd, bool is_over_limit);
void ft_arrival_answered(struct lws *wsi); /* a request was: the next one may take its time */
void ft_arrival_upgraded(struct lws *wsi);
void ft_arrival_free(struct ft_arrival *arrival);
void ft_arrivals_tick(struct ft_net *net);

/* ws.c, http.c: libwebsockets' callbacks. */
int ft_ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len);
int ft_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len);

/* upgrade.c: checks a request to upgrade. Returns true when it may go on; otherwise `response` says
 * why not and `headers` holds further header lines. */
bool ft_upgrade_check(struct lws *wsi, struct ft_http_response *response, const char **headers);

/* Copies a request header; "" when it is absent, NULL when it does not fit or came twice. */
const char *ft_header(struct lws *wsi, enum lws_token_indexes token, char *out, int size);

/* lws_memory.c: makes libwebsockets use our allocator. Once, before the first context. */
void ft_lws_memory_install(void);

#endif
