/*
 * WebSocket connections: libwebsockets' events become calls of the session, and the session's wishes
 * become raw writes. No meaning lives here. The worker's thread.
 *
 * What is written are whole frames, header included, directly at the end of the turn and not from a
 * WRITEABLE callback: two epoll_ctl calls less for each delivery. The socket is tried first; what it
 * does not take, libwebsockets keeps (LWS_WRITE_RAW) and sends before anything later, and we stop until
 * it calls.
 */
#include "broker/net/private.h"
#include "broker/net/tcp.h"
#include "protocol/ws_frame.h"

#include <sys/socket.h>

static enum ft_write_result conn_write(void *context, struct ft_slice frames)
{
    struct ft_ws_conn *conn = context;
    if (!lws_partial_buffered(conn->wsi)) {
        ssize_t n = send(conn->fd, frames.ptr, frames.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n == (ssize_t)frames.len)
            return FT_WRITE_DONE;
        if (n > 0)
            frames = ft_slice(frames.ptr + n, frames.len - (size_t)n);
    }
    /* The library does not change what it writes raw; its type only says so. */
    unsigned char *bytes = (unsigned char *)(uintptr_t)frames.ptr;
    if (lws_write(conn->wsi, bytes, frames.len, LWS_WRITE_RAW) < 0)
        return FT_WRITE_DEAD;
    return lws_partial_buffered(conn->wsi) ? FT_WRITE_BLOCKED : FT_WRITE_DONE;
}

static void conn_pause(void *context, bool paused)
{
    struct ft_ws_conn *conn = context;
    lws_rx_flow_control(conn->wsi, !paused);
    if (!paused) /* what was received meanwhile waits in a buffer: have the loop look there */
        lws_cancel_service(lws_get_context(conn->wsi));
}

static uint64_t conn_silence_ms(void *context)
{
    return ft_tcp_silence_ms(((struct ft_ws_conn *)context)->fd);
}

static uint64_t conn_taken_bytes(void *context)
{
    return ft_tcp_taken_bytes(((struct ft_ws_conn *)context)->fd);
}

static void conn_kill(void *context)
{
    struct ft_ws_conn *conn = context;
    /* A dead socket is closed by libwebsockets itself, on its own terms, in the next turn; it must be
     * listened to for that. */
    lws_rx_flow_control(conn->wsi, 1);
    shutdown(conn->fd, SHUT_RDWR);
    lws_callback_on_writable(conn->wsi);
}

static const struct ft_conn_ops conn_ops = {
    .write = conn_write,
    .pause = conn_pause,
    .silence_ms = conn_silence_ms,
    .taken_bytes = conn_taken_bytes,
    .kill = conn_kill,
};

static void on_established(struct ft_net *net, struct ft_ws_conn *conn, struct lws *wsi)
{
    const struct lws_protocols *protocol = lws_get_protocol(wsi);
    conn->wsi = wsi;
    conn->fd = lws_get_socket_fd(wsi);
    conn->is_open = true;
    ft_arrival_upgraded(wsi);
    ft_session_open(&conn->session, net->worker,
                    &(struct ft_session_options){
                        .frames = (enum ft_frames)protocol->id,
                        .ops = &conn_ops,
                        .conn = conn,
                        .who = ft_identity_new(
                            &(struct ft_identity_spec){.may_everything = true, .is_admin = true}),
                    });
}

/* The library gives up on a connection, mostly because framing rules were broken. What follows on it
 * makes no sense any more, the answer to a close frame included, so nobody waits for that. */
static void on_failed(struct ft_ws_conn *conn)
{
    if (conn->session.is_ending)
        return;
    ft_session_failed(&conn->session);
    shutdown(conn->fd, SHUT_WR);
}

int ft_ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    struct ft_ws_conn *conn = user;
    uint16_t code, answer;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        ft_net_enter(ft_net_of(wsi));
        on_established(ft_net_of(wsi), conn, wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        ft_net_enter(ft_net_of(wsi));
        ft_session_receive(&conn->session, &(struct ft_piece){
                                               .bytes = ft_slice(in, len),
                                               .to_come = lws_remaining_packet_payload(wsi),
                                               .is_text = !lws_frame_is_binary(wsi),
                                               .is_first = lws_is_first_fragment(wsi),
                                               .is_last = lws_is_final_fragment(wsi),
                                           });
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        ft_session_heard(&conn->session);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        ft_net_enter(ft_net_of(wsi));
        if (conn->session.is_blocked && !lws_partial_buffered(wsi))
            ft_session_writable(&conn->session);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        ft_net_enter(ft_net_of(wsi));
        answer = ft_ws_close_read(ft_slice(in, len), &code);
        ft_session_peer_closed(&conn->session, answer ? answer : code);
        return -1;
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL: /* about to be closed, for whatever reason */
        ft_net_enter(ft_net_of(wsi));
        if (conn && conn->is_open)
            on_failed(conn);
        return 0;
    case LWS_CALLBACK_CLOSED:
        ft_net_enter(ft_net_of(wsi));
        if (conn && conn->is_open)
            ft_session_gone(&conn->session);
        return 0;
    default: /* not a WebSocket yet: libwebsockets asks the default protocol, which is one of ours */
        return ft_http_callback(wsi, reason, user, in, len);
    }
}
