/*
 * WebSocket connections: the frames that come become calls of the session. What it sends are whole frames
 * already. The worker's thread.
 */
#include "broker/net/private.h"
#include "protocol/ws_frame.h"

void ft_ws_open(struct ft_conn *conn, const struct ft_upgrade *upgrade)
{
    conn->is_websocket = true;
    ft_session_open(&conn->session, conn->net->worker,
                    &(struct ft_session_options){
                        .frames = (enum ft_frames)upgrade->encoding,
                        .ops = &ft_conn_ops,
                        .conn = conn,
                        .who = upgrade->who,
                        .address = upgrade->address,
                        .user = upgrade->user,
                    });
}

/* Takes one frame, or a piece of one. Returns false when what follows makes no sense any more. */
static bool take(struct ft_conn *conn, enum ft_ws_got got, const struct ft_ws_item *item)
{
    struct ft_session *session = &conn->session;
    uint16_t code, answer;
    switch (got) {
    case FT_WS_GOT_PIECE:
        ft_session_receive(session, &(struct ft_piece){
                                        .bytes = item->bytes,
                                        .to_come = item->to_come,
                                        .is_text = item->is_text,
                                        .is_first = item->is_first,
                                        .is_last = item->is_last,
                                    });
        return true;
    case FT_WS_GOT_PING:
        ft_session_pinged(session, item->bytes);
        return true;
    case FT_WS_GOT_PONG:
        ft_session_heard(session);
        return true;
    case FT_WS_GOT_CLOSE:
        answer = ft_ws_close_read(item->bytes, &code);
        ft_session_peer_closed(session, answer ? answer : code);
        return false;
    default:
        ft_session_failed(session);
        return false;
    }
}

size_t ft_ws_receive(struct ft_conn *conn, uint8_t *bytes, size_t len)
{
    struct ft_ws_item item;
    enum ft_ws_got got = FT_WS_GOT_PIECE;
    while (len > 0 && !conn->is_paused) {
        got = ft_ws_read(&conn->reader, &bytes, &len, &item);
        if (got == FT_WS_GOT_NOTHING)
            return len;
        if (!take(conn, got, &item)) {
            ft_conn_ops.finish(conn, got == FT_WS_GOT_ERROR);
            return 0;
        }
    }
    return len;
}
