/*
 * The generator's receive path, cheap enough to keep up with a server on one core: one recv() of up
 * to 256 KiB a readiness, frames told apart by their headers alone, the stamp read where the last one
 * stood. Does not open connections: gen_connect.c. Runs on the bench's only thread.
 */
#include "clients/cli/bench/gen_private.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "clients/cli/bench/load.h"
#include "protocol/ws_frame.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_BYTES   262144
#define EVENTS_MAX 1024

enum ft_err ft_gen_fail(struct ft_gen *gen, enum ft_err err, const char *format, ...)
{
    if (gen->problem.err != FT_OK)
        return gen->problem.err;
    char text[FT_PROBLEM_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return ft_problem_set(&gen->problem, err, "%s: %s", gen->server->is_floor ? "floor" : "broker",
                          text);
}

void ft_gen_topic(const char *topic, uint32_t index, char out[FT_GEN_TOPIC_MAX])
{
    snprintf(out, FT_GEN_TOPIC_MAX, "%s/%05u", topic, index);
}

void ft_gen_init(struct ft_gen *gen, const struct ft_server *server, enum ft_encoding encoding,
                 uint32_t cap)
{
    memset(gen, 0, sizeof(*gen));
    gen->server = server;
    gen->encoding = encoding;
    gen->conns = ft_alloc_zero(cap * sizeof(*gen->conns));
    gen->cap_ = cap;
    gen->rx_ = ft_alloc(RX_BYTES);
    gen->scratch_ = ft_alloc(RX_BYTES);
    gen->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (gen->epoll_fd < 0)
        ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "cannot make an epoll: %s", strerror(errno));
}

void ft_gen_fini(struct ft_gen *gen)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    for (uint32_t i = 0; i < gen->count; i++) {
        (void)setsockopt(gen->conns[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(gen->conns[i].fd);
        free(gen->conns[i].carry_);
    }
    if (gen->epoll_fd > 0)
        close(gen->epoll_fd);
    free(gen->conns);
    free(gen->rx_);
    free(gen->scratch_);
    memset(gen, 0, sizeof(*gen));
}

static uint32_t index_of(const struct ft_gen *gen, const struct ft_gen_conn *conn)
{
    return (uint32_t)(conn - gen->conns);
}

/* Keeps a copy of a whole frame for the floor, when it fits. */
static void keep_sample(struct ft_gen_sample *sample, struct ft_slice frame)
{
    if (frame.len > sizeof(sample->bytes))
        return;
    memcpy(sample->bytes, frame.ptr, frame.len);
    sample->len = frame.len;
}

static void fail_sequence(struct ft_gen *gen, const struct ft_gen_conn *conn, uint32_t seq)
{
    if (conn->next_seq == FT_GEN_BEFORE_OK)
        ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %u got sequence %u before its ok",
                    index_of(gen, conn), seq);
    else
        ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %u got sequence %u where %u comes next: %s",
                    index_of(gen, conn), seq, conn->next_seq,
                    seq < conn->next_seq ? "doubled or out of order" : "lost or out of order");
}

static void take_publication(struct ft_gen *gen, struct ft_gen_conn *conn, const uint8_t *stamp,
                             struct ft_slice frame)
{
    uint32_t feed, seq;
    ft_stamp_read(stamp, &feed, &seq);
    if (feed != conn->feed) {
        ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %u got a publication of feed %u, not %u",
                    index_of(gen, conn), feed, conn->feed);
        return;
    }
    if (seq != conn->next_seq && !(conn->takes_any && seq > conn->next_seq)) {
        fail_sequence(gen, conn, seq);
        return;
    }
    conn->next_seq = seq + 1;
    conn->takes_any = false;
    gen->delivered++;
    if (conn == gen->conns)
        keep_sample(&gen->msg, frame);
    if (gen->hooks != NULL && gen->hooks->on_msg != NULL)
        gen->hooks->on_msg(gen, conn, seq);
}

/* Takes what is not a publication: an ok, or what the bench never asked for. */
static void take_envelope(struct ft_gen *gen, struct ft_gen_conn *conn, struct ft_slice payload,
                          struct ft_slice frame)
{
    struct ft_reader reader;
    struct ft_envelope env;
    if (payload.len > RX_BYTES ||
        ft_reader_begin(&reader, gen->encoding, payload, gen->scratch_, &gen->problem) != FT_OK ||
        ft_reader_next(&reader, &env, &gen->problem) != FT_OK) {
        ft_gen_fail(gen, FT_ERR_INTERNAL,
                    "connection %u got a message of %zu bytes that is no envelope",
                    index_of(gen, conn), payload.len);
        return;
    }
    if (env.op == FT_OP_OK) {
        gen->oks++;
        keep_sample(&gen->ok, frame);
        if (gen->hooks != NULL && gen->hooks->on_ok != NULL)
            gen->hooks->on_ok(gen, conn, &env);
        return;
    }
    if (env.op == FT_OP_GAP && gen->hooks != NULL && gen->hooks->on_gap != NULL) {
        conn->gaps++;
        gen->hooks->on_gap(gen, conn, &env);
        return;
    }
    ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %u got \"%.*s\": %.*s", index_of(gen, conn),
                (int)env.op_name.len, (const char *)env.op_name.ptr, (int)env.message.len,
                (const char *)env.message.ptr);
}

void ft_gen_take_message(struct ft_gen *gen, struct ft_gen_conn *conn, struct ft_slice payload,
                         struct ft_slice frame)
{
    const uint8_t *stamp = payload.ptr + gen->stamp_at_;
    if (gen->stamp_at_ + FT_STAMP_LEN > payload.len ||
        memcmp(stamp, FT_STAMP_MARK, FT_STAMP_MARK_LEN) != 0) {
        stamp = memmem(payload.ptr, payload.len, FT_STAMP_MARK, FT_STAMP_MARK_LEN);
        if (stamp == NULL || (size_t)(stamp - payload.ptr) + FT_STAMP_LEN > payload.len) {
            take_envelope(gen, conn, payload, frame);
            return;
        }
        gen->stamp_at_ = (size_t)(stamp - payload.ptr);
    }
    take_publication(gen, conn, stamp, frame);
}

static void answer_ping(struct ft_gen *gen, struct ft_gen_conn *conn, struct ft_slice payload)
{
    uint8_t pong[FT_WS_HEADER_MAX + FT_WS_CONTROL_MAX];
    size_t header = ft_ws_client_header(FT_WS_PONG, payload.len, ft_load_mask, pong);
    memcpy(pong + header, payload.ptr, payload.len);
    ft_ws_mask(pong + header, payload.len, ft_load_mask, 0);
    gen->pings++;
    (void)ft_gen_send(gen, conn, ft_slice(pong, header + payload.len));
}

static void take_frame(struct ft_gen *gen, struct ft_gen_conn *conn,
                       const struct ft_ws_header *header, struct ft_slice frame)
{
    struct ft_slice payload = ft_slice(frame.ptr + header->size, header->len);
    uint16_t code = 0;
    switch (header->opcode) {
    case FT_WS_TEXT:
    case FT_WS_BINARY:
        ft_gen_take_message(gen, conn, payload, frame);
        return;
    case FT_WS_PING:
        answer_ping(gen, conn, payload);
        return;
    case FT_WS_CLOSE:
        (void)ft_ws_close_read(payload, &code);
        ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "connection %u was closed with code %u",
                    index_of(gen, conn), code);
        return;
    default:
        ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %u got a frame with opcode %u",
                    index_of(gen, conn), header->opcode);
    }
}

/* Keeps the beginning of a frame or event until the rest comes. */
static void keep_rest(struct ft_gen *gen, struct ft_gen_conn *conn, struct ft_slice rest)
{
    if (rest.len > RX_BYTES / 2) {
        ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %u got a frame of more than %d bytes",
                    index_of(gen, conn), RX_BYTES / 2);
        return;
    }
    if (rest.len > conn->carry_cap_) {
        conn->carry_cap_ = (uint32_t)rest.len;
        conn->carry_ = ft_realloc(conn->carry_, rest.len);
    }
    if (rest.len > 0)
        memcpy(conn->carry_, rest.ptr, rest.len);
    conn->carry_len_ = (uint32_t)rest.len;
}

static void take_bytes(struct ft_gen *gen, struct ft_gen_conn *conn, struct ft_slice bytes)
{
    while (bytes.len > 0 && gen->problem.err == FT_OK) {
        struct ft_ws_header header;
        int known = ft_ws_header_read(bytes, &header);
        if (known < 0 || (known > 0 && (header.is_masked || !header.is_final))) {
            ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %u got bytes that are no frame",
                        index_of(gen, conn));
            return;
        }
        if (known == 0 || bytes.len - header.size < header.len)
            break;
        size_t len = header.size + (size_t)header.len;
        take_frame(gen, conn, &header, ft_slice(bytes.ptr, len));
        bytes.ptr += len;
        bytes.len -= len;
    }
    keep_rest(gen, conn, bytes);
}

static void receive(struct ft_gen *gen, struct ft_gen_conn *conn)
{
    size_t carried = conn->carry_len_;
    if (carried > 0)
        memcpy(gen->rx_, conn->carry_, carried);
    ssize_t n = recv(conn->fd, gen->rx_ + carried, RX_BYTES - carried, 0);
    if (n > 0) {
        struct ft_slice bytes = ft_slice(gen->rx_, carried + (size_t)n);
        if (conn->is_events)
            keep_rest(gen, conn, ft_gen_take_events(gen, conn, bytes));
        else
            take_bytes(gen, conn, bytes);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "connection %u ended: %s", index_of(gen, conn),
                n == 0 ? "closed by the server without a close frame" : strerror(errno));
}

enum ft_err ft_gen_poll(struct ft_gen *gen, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    if (gen->problem.err != FT_OK)
        return gen->problem.err;
    int n = epoll_wait(gen->epoll_fd, events, EVENTS_MAX, timeout_ms);
    if (n < 0 && errno != EINTR)
        return ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "epoll_wait: %s", strerror(errno));
    for (int i = 0; i < n && gen->problem.err == FT_OK; i++) {
        struct ft_gen_conn *conn = &gen->conns[events[i].data.u32];
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive(gen, conn);
        if (events[i].events & EPOLLOUT && gen->hooks != NULL && gen->hooks->on_writable != NULL)
            gen->hooks->on_writable(gen, conn);
    }
    return gen->problem.err;
}

enum ft_err ft_gen_await(struct ft_gen *gen, const uint64_t *counter, uint64_t target)
{
    uint64_t seen = *counter;
    uint64_t moved_ms = 0; /* read only once nothing arrives: the clock is not free */
    while (*counter < target) {
        enum ft_err err = ft_gen_poll(gen, FT_GEN_STALL_MS / 10);
        if (err != FT_OK)
            return err;
        if (*counter != seen) {
            seen = *counter;
            moved_ms = 0;
            continue;
        }
        uint64_t now_ms = ft_clock_mono_ms();
        if (moved_ms == 0)
            moved_ms = now_ms;
        if (now_ms - moved_ms >= FT_GEN_STALL_MS)
            return ft_gen_fail(gen, FT_ERR_TIMEOUT, "%llu arrivals are missing after %d ms",
                               (unsigned long long)(target - *counter), FT_GEN_STALL_MS);
    }
    return FT_OK;
}

enum ft_err ft_gen_send(struct ft_gen *gen, struct ft_gen_conn *conn, struct ft_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(conn->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes.ptr += n;
            bytes.len -= (size_t)n;
            continue;
        }
        if (errno != EAGAIN)
            return ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "connection %u cannot send: %s",
                               index_of(gen, conn), strerror(errno));
        struct pollfd room = {.fd = conn->fd, .events = POLLOUT};
        if (poll(&room, 1, FT_GEN_STALL_MS) <= 0)
            return ft_gen_fail(gen, FT_ERR_TIMEOUT, "connection %u is not read for %d ms",
                               index_of(gen, conn), FT_GEN_STALL_MS);
    }
    return gen->problem.err;
}

void ft_gen_watch_writable(struct ft_gen *gen, struct ft_gen_conn *conn, bool on)
{
    struct epoll_event event = {.events = EPOLLIN | (on ? EPOLLOUT : 0u),
                                .data.u32 = index_of(gen, conn)};
    if (epoll_ctl(gen->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) != 0)
        ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "epoll_ctl: %s", strerror(errno));
}
