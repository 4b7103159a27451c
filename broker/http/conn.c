/*
 * Requests on one connection, in order: heads, bodies, keep-alive, pipelining, `Expect`, time-outs
 * (RFC 9112). What a request means is for routes.h. The worker's thread.
 *
 *     bytes ─▶ in ─▶ head ─▶ ft_http_accept_head ─▶ body ─▶ ft_http_route
 *                                                             ⋮ at once, or when a publish is numbered …
 *     socket ◀─ out ◀─ exchanges, first to last ◀──────────── ft_exchange_done
 *
 * Responses leave once a turn, in one write, as far as the first exchange that is not done.
 */
#include "broker/http/conn.h"

#include "broker/base/alloc.h"
#include "broker/http/routes.h"
#include "broker/http/service.h"
#include "broker/hub/quota.h"

#include <stdlib.h>

/* Requests of one connection that are under way at a time. What a client sends beyond waits in its
 * socket. */
#define EXCHANGES_MAX 64

/* Ceilings of a connection's buffers: what a request may have at most is settled by its head. */
#define IN_MAX  (FT_HTTP_HEAD_MAX + ((size_t)1 << 30))
#define OUT_MAX ((size_t)1 << 31)

/* A body that nobody wants is read all the same where it is short, so that the connection can be kept. */
#define SKIP_MAX 65536

/* For the next request; what browsers and proxies expect. */
#define KEEPALIVE_MS 60000

/* For a peer to take what is sent. */
#define WRITE_MS 60000

/* Says what the peer owes us now, and how long it may take. */
static enum ft_http_wait owed(const struct ft_http_conn *h, uint64_t *ms)
{
    const struct ft_http_options *options = ft_http_options_of(h->worker);
    *ms = 0;
    if (h->stream) /* its session looks after itself */
        return FT_HTTP_WAIT_NONE;
    if (h->is_blocked) {
        *ms = WRITE_MS;
        return FT_HTTP_WAIT_WRITE;
    }
    if (h->reading || h->to_skip > 0) {
        *ms = (uint64_t)options->body_timeout_s * 1000;
        return FT_HTTP_WAIT_BODY;
    }
    if (h->first) /* it is our turn */
        return FT_HTTP_WAIT_NONE;
    if (h->in.len > 0 || !h->has_asked) {
        *ms = (uint64_t)options->header_timeout_s * 1000;
        return FT_HTTP_WAIT_HEAD;
    }
    *ms = KEEPALIVE_MS;
    return FT_HTTP_WAIT_REQUEST;
}

/* Sets the timer for it; who drips does not move it. */
static void watch(struct ft_http_conn *h)
{
    uint64_t ms;
    enum ft_http_wait wait = owed(h, &ms);
    if (wait == FT_HTTP_WAIT_NONE)
        ft_wheel_cancel(&h->alarm.timer);
    else if (wait != h->wait || !ft_wheel_is_set(&h->alarm.timer))
        ft_wheel_set(&h->worker->alarms, &h->alarm.timer, ms);
    h->wait = wait;
}

/* ---- requests ---- */

static struct ft_exchange *begin_exchange(struct ft_http_conn *h, bool is_head)
{
    struct ft_exchange *x = ft_alloc_zero(sizeof(*x));
    x->asker.worker = h->worker;
    x->conn = h;
    x->is_head = is_head;
    x->begun_us = h->worker->turn_us;
    ft_buffer_init(&x->response.headers, FT_HTTP_HEAD_MAX);
    ft_buffer_init(&x->response.body, OUT_MAX);
    *h->end = x;
    h->end = &x->next;
    h->waiting++;
    return x;
}

/* Refuses what cannot be read: nothing more can, either. */
static void refuse_head(struct ft_http_conn *h, int status, const char *message)
{
    struct ft_exchange *x = begin_exchange(h, false);
    x->is_last = h->is_last = h->is_cut_short = true;
    ft_exchange_refuse(x, NULL, status, message);
}

/* Moves what is done to `out`. Returns false after the last response of the connection. */
bool ft_http_conn_collect(struct ft_http_conn *h)
{
    while (h->first && h->first->is_done) {
        struct ft_exchange *x = h->first;
        bool is_last = x->is_last;
        h->first = x->next;
        if (!h->first)
            h->end = &h->first;
        h->waiting--;
        h->ready_bytes -= ft_http_response_bytes(&x->response);
        if (x == h->reading)
            h->reading = NULL;
        ft_exchange_send(x, &h->out);
        ft_exchange_free(x);
        if (is_last)
            return false;
    }
    if (h->first && h->first->wants_continue) {
        h->first->wants_continue = false;
        ft_buffer_add_str(&h->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    return true;
}

static void give_back(struct ft_quota_share *share)
{
    ft_quota_give(share, FT_QUOTA_CONNECTIONS, 1);
    ft_quota_release(share);
}

struct ft_quota_share *ft_http_conn_take_address(struct ft_http_conn *h,
                                                 const struct ft_http_places *places)
{
    struct ft_quota_share *own = h->address;
    h->address = NULL;
    if (!places->address)
        return own;
    give_back(own); /* http.trusted_proxies has come to name the peer since it was accepted */
    return places->address;
}

/* Answers 101 and hands the connection over, with who asks and what is counted for them. */
static void upgrade(struct ft_http_conn *h, struct ft_exchange *x,
                    const struct ft_http_upgrade *how, struct ft_slice rest)
{
    struct ft_buffer *out = &h->out;
    ft_buffer_add_str(out, "HTTP/1.1 101 Switching Protocols\r\n"
                           "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: ");
    ft_buffer_add_str(out, how->accept);
    ft_buffer_add_str(out, "\r\n");
    if (how->subprotocol) {
        ft_buffer_add_str(out, "Sec-WebSocket-Protocol: ");
        ft_buffer_add_str(out, how->subprotocol);
        ft_buffer_add_str(out, "\r\n");
    }
    ft_buffer_add(out, x->response.headers.ptr, x->response.headers.len);
    ft_buffer_add_str(out, "\r\n");
    (void)h->transport.ops->write(h->transport.conn, ft_buffer_slice(out));
    ft_count_http(&h->worker->metrics, FT_ROUTE_WEBSOCKET, 101, UINT64_MAX);

    struct ft_upgrade to = {
        .encoding = how->encoding,
        .who = ft_identity_ref(x->asker.who),
        .address = ft_http_conn_take_address(h, &how->places),
        .user = how->places.user,
        .rest = rest,
    };
    h->is_upgraded = true;
    if (h->is_paused) /* behind many requests */
        h->transport.ops->pause(h->transport.conn, false);
    h->transport.upgrade(h->transport.conn, &to);
}

/* Judges a head that was read; `rest` is what came behind it. */
static void begin_request(struct ft_http_conn *h, const struct ft_http_head *head,
                          struct ft_slice rest)
{
    struct ft_exchange *x = begin_exchange(h, ft_slice_equal(head->method, ft_slice_str("HEAD")));
    h->has_asked = true;
    h->wait = FT_HTTP_WAIT_NONE; /* its body has a time of its own */
    x->is_last = head->is_last || h->worker->is_ending || h->transport.peer.is_over_limit;
    h->is_last = x->is_last;
    struct ft_http_request request = {.head = head};
    struct ft_http_upgrade how;
    if (h->refusal.err != FT_OK) {
        ft_exchange_problem(x, &request, &h->refusal);
        x->is_last = h->is_last = true;
        h->to_skip = head->body_bytes;
        return;
    }
    switch (ft_http_accept_head(x, &request, &how)) {
    case FT_HTTP_READ_BODY:
        h->reading = x;
        h->needed = head->size + head->body_bytes;
        x->wants_continue = head->expects_continue && rest.len < head->body_bytes;
        return;
    case FT_HTTP_ANSWERED:
        h->is_last = x->is_last;
        if (head->body_bytes <= SKIP_MAX && !head->expects_continue)
            h->to_skip = head->body_bytes;
        else
            x->is_last = h->is_last = h->is_cut_short = true;
        return;
    case FT_HTTP_UPGRADE:
        (void)ft_http_conn_collect(h);
        if (h->first == x) {
            upgrade(h, x, &how, rest);
        } else {
            give_back(how.places.address);
            give_back(how.places.user);
            x->is_last = h->is_last = true;
            ft_exchange_refuse(x, &request, 400,
                               "an upgrade has to wait for the answers to what was sent before");
        }
        return;
    }
}

/* Reads one thing off the bytes. Returns how many it took; 0: nothing can be done with them yet. */
static size_t take(struct ft_http_conn *h, struct ft_slice bytes)
{
    struct ft_http_head head;
    struct ft_problem problem;
    if (h->to_skip > 0) {
        size_t n = h->to_skip < bytes.len ? (size_t)h->to_skip : bytes.len;
        h->to_skip -= n;
        return n;
    }
    if (h->reading && bytes.len < h->needed)
        return 0;
    int result = ft_http_head_read(bytes, &head, &problem);
    if (result == FT_HTTP_HEAD_MORE)
        return 0;
    if (result != FT_HTTP_HEAD_READ) {
        refuse_head(h, result, problem.text);
        return bytes.len;
    }
    struct ft_slice rest = ft_slice(bytes.ptr + head.size, bytes.len - head.size);
    if (!h->reading)
        begin_request(h, &head, rest);
    if (!h->reading)
        return head.size;
    if (rest.len < head.body_bytes)
        return 0;
    struct ft_exchange *x = h->reading;
    h->reading = NULL;
    x->wants_continue = false;
    x->begun_us = h->worker->turn_us;
    ft_http_route(x, &(struct ft_http_request){
                         .head = &head,
                         .body = ft_slice(rest.ptr, (size_t)head.body_bytes),
                     });
    return head.size + (size_t)head.body_bytes;
}

/* Says whether there is room for one request more, and its answer: limits.queue holds here, too. */
static bool has_room(const struct ft_http_conn *h)
{
    return h->waiting < EXCHANGES_MAX && h->ready_bytes <= h->worker->options->queue_bytes;
}

static bool may_read(const struct ft_http_conn *h)
{
    return !h->is_last && h->held == 0 && !h->is_blocked && !h->is_upgraded && !h->stream &&
           has_room(h);
}

/* Reads requests as long as it may. Returns how many bytes were taken. */
static size_t take_all(struct ft_http_conn *h, struct ft_slice bytes)
{
    size_t at = 0;
    while (at < bytes.len && (may_read(h) || h->reading || h->to_skip > 0) && !h->is_upgraded) {
        size_t n = take(h, ft_slice(bytes.ptr + at, bytes.len - at));
        if (n == 0)
            break;
        at += n;
    }
    return h->is_last && !h->reading && h->to_skip == 0 ? bytes.len : at;
}

/* Keeps what was not taken, in front of what comes. */
static void keep(struct ft_http_conn *h, struct ft_slice bytes, size_t taken)
{
    size_t left = bytes.len - taken;
    if (bytes.ptr != h->in.ptr)
        ft_buffer_add(&h->in, bytes.ptr + taken, left);
    else if (taken > 0) {
        memmove(h->in.ptr, h->in.ptr + taken, left);
        h->in.len = left;
    }
    if (h->in.len == 0)
        ft_buffer_fini(&h->in);
}

static void settle(struct ft_http_conn *h)
{
    bool wants_more = h->reading || h->to_skip > 0 || may_read(h) || h->is_last;
    if (h->is_paused == wants_more) {
        h->is_paused = !wants_more;
        h->transport.ops->pause(h->transport.conn, h->is_paused);
    }
    watch(h);
}

static void http_free(struct ft_http_conn *h)
{
    while (h->first) {
        struct ft_exchange *x = h->first;
        h->first = x->next;
        ft_exchange_free(x);
    }
    ft_worker_flush_cancel(h->worker, &h->flush);
    ft_wheel_cancel(&h->alarm.timer);
    ft_buffer_fini(&h->in);
    ft_buffer_fini(&h->out);
    give_back(h->address);
    free(h);
}

static bool receive(struct ft_http_conn *h, struct ft_slice bytes)
{
    if (h->stream)
        return true; /* nothing more is expected from that side */
    struct ft_slice all = bytes;
    if (h->in.len > 0) {
        ft_buffer_add(&h->in, bytes.ptr, bytes.len);
        all = ft_buffer_slice(&h->in);
    }
    size_t taken = take_all(h, all);
    if (h->is_upgraded) {
        http_free(h);
        return false;
    }
    keep(h, all, taken);
    settle(h);
    if (h->first && !h->stream)
        ft_worker_flush_later(h->worker, &h->flush);
    return true;
}

/* ---- responses ---- */

/* Ends the connection after what was written. */
static void finish(struct ft_http_conn *h)
{
    h->transport.ops->finish(h->transport.conn, h->is_cut_short || h->to_skip > 0);
}

static void flush(struct ft_flush *flush)
{
    struct ft_http_conn *h =
        (struct ft_http_conn *)((char *)flush - offsetof(struct ft_http_conn, flush));
    if (h->is_blocked || h->stream)
        return;
    bool goes_on = ft_http_conn_collect(h);
    if (h->out.len > 0) {
        enum ft_write_result result =
            h->transport.ops->write(h->transport.conn, ft_buffer_slice(&h->out));
        ft_buffer_fini(&h->out);
        h->is_blocked = result == FT_WRITE_BLOCKED;
        if (result == FT_WRITE_DEAD) {
            h->transport.ops->kill(h->transport.conn);
            return;
        }
    }
    if (!goes_on) {
        h->is_last = true;
        ft_wheel_cancel(&h->alarm.timer);
        finish(h);
        return;
    }
    size_t taken = h->in.len > 0 ? take_all(h, ft_buffer_slice(&h->in)) : 0;
    if (h->is_upgraded) {
        http_free(h);
        return;
    }
    if (taken > 0)
        ft_worker_flush_later(h->worker, &h->flush);
    keep(h, ft_buffer_slice(&h->in), taken);
    settle(h);
}

void ft_exchange_done(struct ft_exchange *x)
{
    x->is_done = true;
    x->conn->ready_bytes += ft_http_response_bytes(&x->response);
    ft_worker_flush_later(x->asker.worker, &x->conn->flush);
}

void ft_exchange_hold(struct ft_exchange *x, bool on)
{
    struct ft_http_conn *h = x->conn;
    if (x->is_held == on)
        return;
    x->is_held = on;
    h->held += on ? 1 : (uint32_t)-1;
    if (h->held == 0)
        ft_worker_flush_later(h->worker, &h->flush); /* which reads on */
}

static void writable(struct ft_http_conn *h)
{
    h->is_blocked = false;
    h->wait = FT_HTTP_WAIT_NONE; /* when it is blocked again, it has its time again */
    if (h->stream)
        ft_session_writable(h->stream);
    else
        ft_worker_flush_later(h->worker, &h->flush);
}

/* ---- life ---- */

/* Time is over for what the peer owed us. */
static void give_up(struct ft_alarm *alarm)
{
    struct ft_http_conn *h =
        (struct ft_http_conn *)((char *)alarm - offsetof(struct ft_http_conn, alarm));
    if (h->is_blocked) {
        h->transport.ops->kill(h->transport.conn);
    } else if (h->reading) {
        struct ft_exchange *x = h->reading;
        h->reading = NULL;
        x->is_last = h->is_last = h->is_cut_short = true;
        ft_exchange_refuse(x, NULL, 408, "the body did not come in time (http.body_timeout)");
    } else if (h->in.len > 0) {
        refuse_head(h, 408, "the request did not come in time (http.header_timeout)");
    } else {
        finish(h);
    }
}

/* Takes the connection's place among those of its address. */
static void count_in(struct ft_http_conn *h)
{
    const struct ft_http_options *options = ft_http_options_of(h->worker);
    const struct ft_ip *ip = &h->transport.peer.ip;
    struct ft_quotas *quotas = h->worker->hub->quotas;
    if (!quotas || ft_http_is_trusted(options, ip))
        return;
    struct ft_quota_share *share =
        ft_quota_share(quotas, FT_QUOTA_ADDRESS, ft_slice(ip->bytes, sizeof(ip->bytes)));
    uint32_t retry_ms = 0;
    enum ft_err err =
        ft_quota_pass(share, FT_QUOTA_CONNECTS, h->worker->mono_ms * 1000, &retry_ms, &h->refusal);
    h->refusal.retry_ms = retry_ms;
    if (err == FT_OK)
        err = ft_quota_take(share, FT_QUOTA_CONNECTIONS, 1, &h->refusal);
    if (err == FT_OK) {
        h->address = share;
    } else {
        ft_quota_release(share);
        ft_count(&h->worker->metrics.connections_refused[FT_REFUSAL_ADDRESS], 1);
    }
}

static struct ft_http_conn *open(void *service, struct ft_worker *worker,
                                 const struct ft_http_transport *transport)
{
    (void)service;
    struct ft_http_conn *h = ft_alloc_zero(sizeof(*h));
    h->worker = worker;
    h->transport = *transport;
    h->flush.flush = flush;
    h->alarm.fire = give_up;
    h->end = &h->first;
    ft_buffer_init(&h->in, IN_MAX);
    ft_buffer_init(&h->out, OUT_MAX);
    h->refusal.err = FT_OK;
    count_in(h);
    watch(h);
    return h;
}

static void gone(struct ft_http_conn *h)
{
    if (h->stream)
        ft_http_stream_gone(h);
    http_free(h);
}

const struct ft_http_service *ft_http_service(void)
{
    static const struct ft_http_service service = {
        .open = open,
        .receive = receive,
        .writable = writable,
        .gone = gone,
    };
    return &service;
}
