/*
 * Connections on libwebsockets: what it reports becomes calls of whoever speaks on the connection, HTTP
 * first and then, after an upgrade, a session (ws.c); and their wishes become writes. No meaning lives
 * here. The worker's thread.
 *
 * libwebsockets accepts sockets as raw ones and shakes hands where they speak TLS. It does not read HTTP or
 * WebSocket: broker/README.md says why. Bytes are written directly, at the end of the turn, not from a
 * WRITEABLE callback: two epoll_ctl calls less for each delivery. What the socket does not take waits in
 * `unsent`, and we stop until it takes more.
 */
#include "broker/base/alloc.h"
#include "broker/net/private.h"
#include "broker/net/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a peer may take to close its side after we closed ours. */
#define FINISH_MS 2000
/* How long a peer may take for what it is sent last. */
#define LAST_MS 60000

/* ---- writing ---- */

/* Sends what the socket takes; returns how much, or -1: the connection is broken. */
static ssize_t send_some(struct ft_conn *conn, const uint8_t *bytes, size_t len)
{
    ssize_t n = conn->is_tls ? ft_tls_write(lws_get_ssl(conn->wsi), bytes, len)
                             : send(conn->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

static enum ft_write_result conn_write(void *context, struct ft_slice bytes)
{
    struct ft_conn *conn = context;
    if (!conn->wsi || conn->is_half_closed)
        return FT_WRITE_DEAD;
    if (!conn->unsent.bytes) {
        ssize_t n = send_some(conn, bytes.ptr, bytes.len);
        if (n == (ssize_t)bytes.len)
            return FT_WRITE_DONE;
        if (n < 0)
            return FT_WRITE_DEAD;
        bytes = ft_slice(bytes.ptr + n, bytes.len - (size_t)n);
    }
    ft_rest_add(&conn->unsent, bytes);
    lws_callback_on_writable(conn->wsi);
    return FT_WRITE_BLOCKED;
}

/* Sends what waits. Returns true when nothing does any more. */
static bool send_rest(struct ft_conn *conn)
{
    struct ft_rest *rest = &conn->unsent;
    if (!rest->bytes)
        return true;
    ssize_t n = send_some(conn, rest->bytes + rest->at, rest->len - rest->at);
    if (n < 0) {
        ft_conn_ops.kill(conn);
        return false;
    }
    rest->at += (uint32_t)n;
    if (rest->at < rest->len) {
        lws_callback_on_writable(conn->wsi);
        return false;
    }
    ft_rest_clear(rest);
    return true;
}

/* ---- reading ---- */

static void conn_pause(void *context, bool paused)
{
    struct ft_conn *conn = context;
    if (!conn->wsi || conn->is_paused == paused)
        return;
    conn->is_paused = paused;
    lws_rx_flow_control(conn->wsi, !paused);
    if (!paused && conn->unread.bytes) /* which is read from there, not from within this call */
        lws_callback_on_writable(conn->wsi);
}

/* Reads what came before and what comes now. */
static void receive(struct ft_conn *conn, uint8_t *bytes, size_t len)
{
    struct ft_rest before = conn->unread;
    if (before.bytes) {
        conn->unread = (struct ft_rest){0};
        ft_rest_add(&before, ft_slice(bytes, len));
        bytes = before.bytes;
        len = before.len;
    }
    if (conn->http) {
        if (!conn->net->loops->options.http->receive(conn->http, ft_slice(bytes, len)))
            conn->http = NULL;
    } else if (conn->is_websocket) {
        size_t left = conn->is_paused ? len : ft_ws_receive(conn, bytes, len);
        if (left > 0)
            ft_rest_add(&conn->unread, ft_slice(bytes + len - left, left));
    }
    ft_rest_clear(&before);
}

/* ---- ending ---- */

static void half_close(struct ft_conn *conn)
{
    conn->is_half_closed = true;
    ft_wheel_set(&conn->net->deadlines, &conn->timer, FINISH_MS);
    if (conn->is_tls)
        ft_tls_goodbye(lws_get_ssl(conn->wsi));
    shutdown(conn->fd, conn->is_lingering ? SHUT_WR : SHUT_RDWR);
}

static void conn_finish(void *context, bool lingers)
{
    struct ft_conn *conn = context;
    if (!conn->wsi || conn->is_finishing)
        return;
    conn->is_finishing = true;
    conn->is_lingering = lingers;
    conn_pause(conn, false); /* the end of the stream is waited for, ours or the peer's */
    if (conn->unsent.bytes)
        ft_wheel_set(&conn->net->deadlines, &conn->timer, LAST_MS);
    else
        half_close(conn);
}

static void conn_kill(void *context)
{
    struct ft_conn *conn = context;
    if (!conn->wsi)
        return;
    /* A dead socket is closed by libwebsockets itself, on its own terms, in the next turn; it must be
     * listened to for that. */
    conn->is_finishing = true;
    conn_pause(conn, false);
    shutdown(conn->fd, SHUT_RDWR);
}

static uint64_t conn_silence_ms(void *context)
{
    struct ft_conn *conn = context;
    /* Who only listens to a stream of events says nothing; its system acknowledges what it gets. */
    return conn->is_websocket ? ft_tcp_silence_ms(conn->fd) : ft_tcp_deaf_ms(conn->fd);
}

static uint64_t conn_taken_bytes(void *context)
{
    return ft_tcp_taken_bytes(((struct ft_conn *)context)->fd);
}

static const struct ft_ip *conn_client(void *context)
{
    return &((struct ft_conn *)context)->ip;
}

static void conn_speaks_for(void *context, const struct ft_ip *client)
{
    ((struct ft_conn *)context)->ip = *client;
}

const struct ft_conn_ops ft_conn_ops = {
    .write = conn_write,
    .pause = conn_pause,
    .silence_ms = conn_silence_ms,
    .taken_bytes = conn_taken_bytes,
    .client = conn_client,
    .finish = conn_finish,
    .kill = conn_kill,
};

void ft_conns_tick(struct ft_net *net)
{
    ft_wheel_tick(&net->deadlines);
    struct ft_wheel_timer *timer;
    while ((timer = ft_wheel_next_due(&net->deadlines))) {
        struct ft_conn *conn = (struct ft_conn *)((char *)timer - offsetof(struct ft_conn, timer));
        if (conn->wsi)
            conn_kill(conn);
        else
            ft_proxied_refuse(conn); /* it never said who it is */
    }
}

/* ---- life ---- */

struct ft_conn *ft_conn_new(struct ft_net *net, int fd)
{
    struct ft_conn *conn = ft_alloc_zero(sizeof(*conn));
    conn->net = net;
    conn->fd = fd;
    return conn;
}

/* A connection is closed: its place is free. */
static void leave(struct ft_net *net)
{
    atomic_fetch_sub(&net->loops->connections, 1);
    ft_uncount(net->worker->metrics.worker_connections, 1);
}

static void forget(struct ft_conn *conn)
{
    ft_wheel_cancel(&conn->timer);
    ft_rest_clear(&conn->unsent);
    ft_rest_clear(&conn->unread);
    free(conn);
}

void ft_conn_free(struct ft_conn *conn)
{
    ft_proxied_forget(conn);
    leave(conn->net);
    close(conn->fd);
    forget(conn);
}

void ft_conn_adopt(struct ft_conn *conn)
{
    struct ft_net *net = conn->net;
    lws_adopt_desc_t adopt = {
        .vh = conn->is_tls ? net->tls : net->plain,
        .fd.sockfd = conn->fd,
        .type = LWS_ADOPT_SOCKET | (conn->is_tls ? LWS_ADOPT_ALLOW_SSL : 0),
        .opaque = conn,
    };
    net->adopting = conn;
    /* Where it fails it closes the socket, mostly after it has called back as for any other that closes. */
    (void)lws_adopt_descriptor_vhost_via_info(&adopt);
    if (net->adopting && !conn->wsi) {
        leave(net);
        forget(conn);
    }
    net->adopting = NULL;
}

static void upgrade(void *context, const struct ft_upgrade *how)
{
    struct ft_conn *conn = context;
    conn->http = NULL;
    ft_ws_open(conn, how);
    if (how->rest.len > 0) {
        ft_rest_add(&conn->unread, how->rest);
        receive(conn, NULL, 0);
    }
}

static void on_adopted(struct ft_conn *conn, struct lws *wsi)
{
    conn->wsi = wsi;
    conn->http =
        conn->net->loops->options.http->open(NULL, conn->net->worker,
                                             &(struct ft_http_transport){
                                                 .ops = &ft_conn_ops,
                                                 .conn = conn,
                                                 .peer = {.ip = conn->ip,
                                                          .is_tls = conn->is_tls,
                                                          .is_local = conn->is_local,
                                                          .is_over_limit = conn->is_over_limit},
                                                 .speaks_for = conn_speaks_for,
                                                 .upgrade = upgrade,
                                             });
}

static void on_received(struct ft_conn *conn, uint8_t *bytes, size_t len)
{
    if (conn->is_tls && !conn->has_spoken) {
        conn->has_spoken = true; /* libwebsockets would close it some time after its handshake */
        lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
    }
    if (!conn->is_finishing)
        receive(conn, bytes, len);
}

static void on_writable(struct ft_conn *conn)
{
    bool was_blocked = conn->unsent.bytes != NULL;
    if (!send_rest(conn))
        return;
    if (was_blocked && conn->is_finishing && !conn->is_half_closed)
        half_close(conn);
    else if (was_blocked && conn->http)
        conn->net->loops->options.http->writable(conn->http);
    else if (was_blocked && conn->is_websocket)
        ft_session_writable(&conn->session);
    if (conn->unread.bytes && !conn->is_paused)
        receive(conn, NULL, 0);
}

/* `wsi` is given even where the handshake failed before it was ever conn->wsi. */
static void on_closed(struct ft_conn *conn, struct lws *wsi)
{
    if (conn->is_tls && !conn->has_spoken && !ft_tls_is_agreed(lws_get_ssl(wsi)))
        ft_count(&conn->net->worker->metrics.connections_refused[FT_REFUSAL_TLS], 1);
    conn->wsi = NULL;
    if (conn->net->adopting == conn)
        conn->net->adopting = NULL;
    if (conn->http)
        conn->net->loops->options.http->gone(conn->http);
    if (conn->is_websocket)
        ft_session_gone(&conn->session);
    forget(conn);
}

int ft_conn_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    (void)user;
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        ft_net_of(wsi)->tls_context = user; /* there is no connection yet: this is its SSL_CTX */
        return 0;
    }
    struct ft_conn *conn;
    switch (reason) {
    case LWS_CALLBACK_RAW_ADOPT:
        ft_net_enter(ft_net_of(wsi));
        on_adopted(lws_get_opaque_user_data(wsi), wsi);
        return 0;
    case LWS_CALLBACK_RAW_RX:
        ft_net_enter(ft_net_of(wsi));
        on_received(lws_get_opaque_user_data(wsi), in, len);
        return 0;
    case LWS_CALLBACK_RAW_WRITEABLE:
        ft_net_enter(ft_net_of(wsi));
        on_writable(lws_get_opaque_user_data(wsi));
        return 0;
    case LWS_CALLBACK_RAW_CLOSE:
        ft_net_enter(ft_net_of(wsi));
        conn = lws_get_opaque_user_data(wsi);
        lws_set_opaque_user_data(wsi, NULL);
        if (conn)
            on_closed(conn, wsi);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY: /* the socket is closed, a turn later: now its place is free */
        leave(ft_net_of(wsi));
        return 0;
    default:
        return 0;
    }
}
