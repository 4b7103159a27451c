/*
 * What the files of net/ share: a worker's loop, and a connection. The only folder that knows
 * libwebsockets, so this header is for it alone.
 */
#ifndef FT_NET_PRIVATE_H
#define FT_NET_PRIVATE_H

#include "broker/net/loops.h"
#include "protocol/ws_reader.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

/* Bytes that one recv() takes, and so the most of a burst that is handled, and sent on, in one turn:
 * fan-out of bursts of 32 KB cost 0.16 CPU s per million deliveries with 64 KiB and 0.33 with 16 KiB.
 * One buffer for all connections of a worker. */
#define FT_RX_BYTES 65536

struct ft_listener {
    int fd;
    char address[64]; /* as in "127.0.0.1:8080" */
};

struct ft_accepter {
    uv_poll_t poll;
    struct ft_net *net;
    int fd;
    const struct ft_listen *listen; /* what it speaks */
    bool is_paused;                 /* until the next tick, after running out of descriptors */
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
    struct lws_vhost *plain, *tls; /* the latter NULL where no listener speaks TLS */
    void *tls_context;             /* OpenSSL's, of `tls` … */
    void *tls_shown;               /* … and another one, for its certificate: see ft_tls_load() */
    void *tls_client;              /* of no use: see ft_tls_client() */
    struct ft_accepter *accepters; /* one for each listener */
    struct ft_wheel deadlines;     /* timers of connections: see struct ft_conn */
    struct ft_conn *adopting;      /* by libwebsockets, right now */
    struct ft_proxied *proxied;    /* wait for a PROXY header */
    bool in_turn;
    bool is_stopping;
    uint64_t stop_at_ms; /* monotonic */
    uint32_t tls_loads;  /* of the certificate, as in struct ft_loops */
    _Atomic uint32_t ticks;
    uint32_t ticks_seen; /* by ft_loops_have_turned() */
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
    pthread_mutex_t tls_lock;   /* for these three … */
    pthread_cond_t tls_taken;   /* … of which this says that it is less */
    uint32_t tls_behind;        /* workers that have not read the certificate again yet */
    char *tls_cert, *tls_key;   /* NULL: no listener speaks TLS */
    _Atomic uint32_t tls_loads; /* how often the certificate was to be read */
    _Atomic bool stop;
    _Atomic bool is_over; /* a loop has stopped */
    pthread_barrier_t stopped;
};

/* Bytes that wait: unsent ones, or received ones that nobody may read yet. */
struct ft_rest {
    uint8_t *bytes; /* NULL: none */
    uint32_t at, len;
};

/*
 * A connection, from accept to close. First it speaks HTTP; one that is upgraded goes on as a WebSocket
 * session.
 */
struct ft_conn {
    struct ft_net *net;
    struct lws *wsi; /* NULL: libwebsockets does not have it (any more) */
    int fd;
    bool is_tls, is_local;
    bool is_over_limit; /* of limits.connections: it is there only to be refused */
    bool is_paused;     /* nothing is read from it */
    bool is_finishing;  /* it ends as soon as everything is sent; what it sends is thrown away */
    bool is_lingering;  /* until the peer has ended, too */
    bool is_half_closed;
    bool is_websocket;
    bool has_spoken; /* over TLS */
    struct ft_ip ip; /* the peer's; of a session the client's, whatever proxies are between */
    struct ft_rest unsent, unread;
    struct ft_proxied *proxied; /* while it waits for its PROXY header */
    struct ft_http_conn *http;  /* NULL once it is a WebSocket */
    struct ft_ws_reader reader;
    struct ft_wheel_timer timer; /* of net->deadlines; kills it */
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

/* proxied.c: waits for the PROXY header of a connection that was accepted, and has ft_conn_adopt() do the
 * rest; or closes it. */
void ft_proxied_wait(struct ft_conn *conn);
void ft_proxied_forget(struct ft_conn *conn); /* stops to wait, where it does */
void ft_proxied_refuse(struct ft_conn *conn); /* closes one that waits in vain */
void ft_proxied_stop(struct ft_net *net);     /* closes all that wait */

/* conn.c */
struct ft_conn *ft_conn_new(struct ft_net *net, int fd);
void ft_conn_free(
    struct ft_conn *conn); /* one that libwebsockets does not have; closes the socket */
void ft_conn_adopt(struct ft_conn *conn); /* hands it to libwebsockets */
int ft_conn_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len);
void ft_conns_tick(struct ft_net *net); /* every tick: deadlines */
extern const struct ft_conn_ops ft_conn_ops;

/* ws.c: the connection is a WebSocket from here on; and what it sends. Returns how many of the bytes are
 * not read: an incomplete frame, or all that is left when the session is paused. */
void ft_ws_open(struct ft_conn *conn, const struct ft_upgrade *upgrade);
size_t ft_ws_receive(struct ft_conn *conn, uint8_t *bytes, size_t len);

/* rest.c */
void ft_rest_add(struct ft_rest *rest, struct ft_slice bytes);
void ft_rest_clear(struct ft_rest *rest);

/* tls.c: the only file of net/ that knows OpenSSL, through the handles that libwebsockets gives out. */
void ft_tls_prepare(void *context, void **shown); /* `shown` is lent as long as it lives */
/* Puts a new context with a certificate in the place of `*shown`; on an error it stays. */
bool ft_tls_load(void **shown, const char *cert, const char *key, char error[FT_LOOPS_ERROR_MAX]);
bool ft_tls_try(const char *cert, const char *key, char error[FT_LOOPS_ERROR_MAX]);
void *ft_tls_client(void);
void ft_tls_free(void *context);                                /* NULL is allowed */
ssize_t ft_tls_write(void *ssl, const void *bytes, size_t len); /* as send(): -1 and EAGAIN */
void ft_tls_goodbye(void *ssl);
bool ft_tls_is_agreed(void *ssl); /* the handshake has come to its end */

/* lws_memory.c: makes libwebsockets use our allocator. Once, before the first context. */
void ft_lws_memory_install(void);

#endif
