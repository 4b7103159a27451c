/*
 * A connection that becomes a stream of events (SPEC.md section 7; HTML, "Server-sent events"): a session
 * like any other, whose frames are events. The response has no length; it ends with the connection. The
 * worker's thread.
 */
#include "broker/base/alloc.h"
#include "broker/http/conn.h"
#include "broker/http/routes.h"

#include <stdlib.h>

static const char head[] = "HTTP/1.1 200 OK\r\n"
                           "Content-Type: text/event-stream\r\n"
                           "Cache-Control: no-store\r\n"
                           "X-Content-Type-Options: nosniff\r\n"
                           "X-Accel-Buffering: no\r\n" /* nginx would collect events */
                           "Connection: close\r\n";

static enum ft_err open_session(struct ft_exchange *x, const struct ft_http_request *request,
                                struct ft_slice sub, struct ft_problem *problem)
{
    struct ft_http_conn *h = x->conn;
    struct ft_http_places places;
    enum ft_err err = ft_http_admit(x, request, &places, problem);
    if (err != FT_OK)
        return err;
    struct ft_session_options options = {
        .frames = FT_FRAMES_EVENTS,
        .ops = h->transport.ops,
        .conn = h->transport.conn,
        .who = ft_identity_ref(x->asker.who),
        .address = ft_http_conn_take_address(h, &places),
        .user = places.user,
    };
    h->stream = ft_alloc_zero(sizeof(*h->stream));
    ft_session_open(h->stream, h->worker, &options);
    err = ft_session_carry_out(h->stream, sub, problem);
    if (err != FT_OK)
        ft_http_stream_gone(h);
    return err;
}

void ft_exchange_stream(struct ft_exchange *x, const struct ft_http_request *request,
                        struct ft_slice sub)
{
    struct ft_http_conn *h = x->conn;
    struct ft_problem problem;
    (void)ft_http_conn_collect(h);
    if (h->first != x) {
        x->is_last = h->is_last = true;
        ft_exchange_refuse(x, request, 400,
                           "a stream has to wait for the answers to what was sent before");
        return;
    }
    if (open_session(x, request, sub, &problem) != FT_OK) {
        x->is_last = h->is_last = true; /* what was counted for the connection is given back */
        ft_exchange_problem(x, request, &problem);
        return;
    }
    ft_buffer_add(&h->out, head, sizeof(head) - 1);
    ft_http_add_date(&h->out, h->worker->now_ms);
    ft_buffer_add(&h->out, x->response.headers.ptr, x->response.headers.len);
    ft_buffer_add_str(&h->out, "\r\n");
    (void)h->transport.ops->write(h->transport.conn, ft_buffer_slice(&h->out));
    ft_buffer_fini(&h->out);
    ft_count_http(&h->worker->metrics, FT_ROUTE_EVENTS, 200, UINT64_MAX);
    h->is_last = true;
    h->first = NULL;
    h->end = &h->first;
    h->waiting = 0;
    ft_exchange_free(x);
}

void ft_http_stream_gone(struct ft_http_conn *h)
{
    ft_session_gone(h->stream);
    free(h->stream);
    h->stream = NULL;
}
