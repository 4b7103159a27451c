/*
 * Opens the generator's connections: TCP, the WebSocket upgrade, the welcome, the subscription. In
 * batches of blocking calls, because nothing is measured yet: a batch's requests all leave before the
 * first answer is read. The floor is asked in one line instead of an upgrade. Runs on the bench's
 * only thread.
 */
#include "clients/cli/bench/floor.h"
#include "clients/cli/bench/gen.h"
#include "clients/cli/bench/load.h"
#include "protocol/quote.h"
#include "protocol/ws_frame.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Below the shortest backlog that a server listens with (128). */
#define BATCH 64

/* The longest answer to an upgrade, its welcome included. */
#define ANSWER_MAX 4096

/* What a connection has received and not yet used. */
struct answer {
    uint8_t bytes[ANSWER_MAX];
    size_t len;
};

static enum ft_err open_socket(struct ft_gen *gen, struct ft_gen_conn *conn)
{
    struct timeval patience = {.tv_sec = FT_GEN_STALL_MS / 1000};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "cannot make socket %u: %s", gen->count,
                           strerror(errno));
    conn->fd = fd;
    gen->count++;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (const struct sockaddr *)&gen->server->address, sizeof(gen->server->address)) !=
        0)
        return ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "connection %u refused: %s", gen->count - 1,
                           strerror(errno));
    return FT_OK;
}

static enum ft_err ask_upgrade(struct ft_gen *gen, struct ft_gen_conn *conn,
                               const struct ft_gen_group *group, uint32_t number)
{
    char request[512];
    int len;
    if (group->is_events)
        len = snprintf(request, sizeof(request),
                       "GET /v1/events?topic=%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                       group->topic, ntohs(gen->server->address.sin_port));
    else if (gen->server->is_floor)
        len = snprintf(request, sizeof(request), FT_FLOOR_HELLO,
                       group->role == FT_GEN_SUBSCRIBER ? 'S' : 'P', number);
    else
        len = snprintf(request, sizeof(request),
                       "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: ZmFudGFpbCBiZW5jaCBrZQ==\r\n"
                       "Sec-WebSocket-Protocol: %s\r\n\r\n",
                       ntohs(gen->server->address.sin_port),
                       gen->encoding == FT_JSON ? FT_SUBPROTOCOL_JSON : FT_SUBPROTOCOL_MSGPACK);
    return ft_gen_send(gen, conn, ft_slice(request, (size_t)len));
}

static enum ft_err read_more(struct ft_gen *gen, struct ft_gen_conn *conn, struct answer *answer)
{
    ssize_t n = 0;
    if (answer->len < sizeof(answer->bytes))
        n = recv(conn->fd, answer->bytes + answer->len, sizeof(answer->bytes) - answer->len, 0);
    if (n > 0) {
        answer->len += (size_t)n;
        return FT_OK;
    }
    return ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "connection %td got no whole answer: %s",
                       conn - gen->conns, n == 0 ? "it was closed" : strerror(errno));
}

static void drop(struct answer *answer, size_t n)
{
    answer->len -= n;
    memmove(answer->bytes, answer->bytes + n, answer->len);
}

/* Reads up to the end of the HTTP answer, which has to be 101 (of a stream 200); of the floor, its one
 * byte. */
static enum ft_err read_upgrade(struct ft_gen *gen, struct ft_gen_conn *conn, struct answer *answer)
{
    const char *end = gen->server->is_floor ? FT_FLOOR_READY : "\r\n\r\n";
    const uint8_t *at;
    while ((at = memmem(answer->bytes, answer->len, end, strlen(end))) == NULL) {
        enum ft_err err = read_more(gen, conn, answer);
        if (err != FT_OK)
            return err;
    }
    const char *expected = conn->is_events ? "HTTP/1.1 200 " : "HTTP/1.1 101 ";
    if (!gen->server->is_floor && memcmp(answer->bytes, expected, strlen(expected)) != 0) {
        char quoted[FT_QUOTE_MAX];
        return ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "connection %td was refused: %s",
                           conn - gen->conns,
                           ft_quote(ft_slice(answer->bytes, answer->len), quoted));
    }
    drop(answer, (size_t)(at - answer->bytes) + strlen(end));
    return FT_OK;
}

/* Reads one frame, which has to carry an envelope with this op, behind what was read already. */
static enum ft_err read_reply(struct ft_gen *gen, struct ft_gen_conn *conn, struct answer *answer,
                              enum ft_op op)
{
    struct ft_ws_header header = {.size = 0};
    int known;
    while ((known = ft_ws_header_read(ft_slice(answer->bytes, answer->len), &header)) == 0 ||
           (known > 0 && answer->len - header.size < header.len)) {
        enum ft_err err = read_more(gen, conn, answer);
        if (err != FT_OK)
            return err;
    }
    struct ft_reader reader;
    struct ft_envelope env;
    struct ft_slice payload = ft_slice(answer->bytes + header.size, header.len);
    if (known < 0 || answer->len != header.size + header.len ||
        ft_reader_begin(&reader, gen->encoding, payload, gen->scratch_, NULL) != FT_OK ||
        ft_reader_next(&reader, &env, NULL) != FT_OK || env.op != op) {
        char quoted[FT_QUOTE_MAX];
        return ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %td got %s where \"%s\" was due",
                           conn - gen->conns,
                           ft_quote(ft_slice(answer->bytes, answer->len), quoted), ft_op_name(op));
    }
    return FT_OK;
}

/* Reads a stream's first event, which says that the subscription is in force. */
static enum ft_err read_first_event(struct ft_gen *gen, struct ft_gen_conn *conn,
                                    struct answer *answer)
{
    enum ft_err err = FT_OK;
    while (err == FT_OK && memmem(answer->bytes, answer->len, "\n\n", 2) == NULL)
        err = read_more(gen, conn, answer);
    if (err == FT_OK && memcmp(answer->bytes, "event: ok\n", 10) != 0)
        err = ft_gen_fail(gen, FT_ERR_INTERNAL, "stream %td does not begin with an ok",
                          conn - gen->conns);
    return err;
}

/* Reads the 101 and the welcome behind it. */
static enum ft_err read_welcome(struct ft_gen *gen, struct ft_gen_conn *conn)
{
    struct answer answer = {.len = 0};
    enum ft_err err = read_upgrade(gen, conn, &answer);
    if (err != FT_OK || gen->server->is_floor)
        return err;
    if (conn->is_events)
        return read_first_event(gen, conn, &answer);
    return read_reply(gen, conn, &answer, FT_OP_WELCOME);
}

static enum ft_err subscribe(struct ft_gen *gen, const struct ft_gen_group *group, uint32_t first,
                             uint32_t batch, uint32_t number)
{
    enum ft_err err = FT_OK;
    for (uint32_t i = 0; i < batch && err == FT_OK; i++) {
        char topic[FT_GEN_TOPIC_MAX];
        snprintf(topic, sizeof(topic), "%s", group->topic);
        if (group->is_numbered)
            ft_gen_topic(group->topic, number + i, topic);
        err = ft_gen_subscribe(gen, &gen->conns[first + i], topic, NULL);
    }
    for (uint32_t i = 0; i < batch && err == FT_OK; i++) {
        struct answer answer = {.len = 0};
        err = read_reply(gen, &gen->conns[first + i], &answer, FT_OP_OK);
    }
    return err;
}

/* From here on the connection is the event loop's. */
static enum ft_err hand_over(struct ft_gen *gen, struct ft_gen_conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(conn - gen->conns)};
    if (fcntl(conn->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(gen->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0)
        return ft_gen_fail(gen, FT_ERR_UNAVAILABLE, "cannot watch a socket: %s", strerror(errno));
    return FT_OK;
}

/* Connects `batch` connections of the group, of which the first is the group's `number`-th. */
static enum ft_err connect_batch(struct ft_gen *gen, const struct ft_gen_group *group,
                                 uint32_t batch, uint32_t number)
{
    uint32_t first = gen->count;
    enum ft_err err = gen->problem.err;
    for (uint32_t i = 0; i < batch && err == FT_OK; i++) {
        struct ft_gen_conn *conn = &gen->conns[first + i];
        bool has_own_feed = group->role == FT_GEN_PUBLISHER || group->is_numbered;
        *conn = (struct ft_gen_conn){.feed = has_own_feed ? number + i : 0,
                                     .next_seq = group->first_seq,
                                     .is_events = group->is_events};
        err = open_socket(gen, conn);
        if (err == FT_OK)
            err = ask_upgrade(gen, conn, group, number + i);
    }
    for (uint32_t i = 0; i < batch && err == FT_OK; i++)
        err = read_welcome(gen, &gen->conns[first + i]);
    bool subscribes = group->role == FT_GEN_SUBSCRIBER && group->topic != NULL;
    if (err == FT_OK && subscribes && !group->is_events && !gen->server->is_floor)
        err = subscribe(gen, group, first, batch, number);
    for (uint32_t i = 0; i < batch && err == FT_OK && !group->is_parked; i++)
        err = hand_over(gen, &gen->conns[first + i]);
    return err;
}

enum ft_err ft_gen_connect(struct ft_gen *gen, const struct ft_gen_group *group)
{
    if (gen->count + group->count > gen->cap_)
        return ft_gen_fail(gen, FT_ERR_TOO_LARGE, "more than %u connections", gen->cap_);
    enum ft_err err = FT_OK;
    for (uint32_t done = 0; done < group->count && err == FT_OK;) {
        uint32_t left = group->count - done;
        uint32_t batch = left < BATCH ? left : BATCH;
        err = connect_batch(gen, group, batch, done);
        done += batch;
    }
    return err;
}

enum ft_err ft_gen_unpark(struct ft_gen *gen, struct ft_gen_conn *conn)
{
    return hand_over(gen, conn);
}

enum ft_err ft_gen_check_parked(struct ft_gen *gen, const struct ft_gen_conn *conn)
{
    struct pollfd end = {.fd = conn->fd, .events = POLLRDHUP};
    if (poll(&end, 1, 0) > 0)
        return ft_gen_fail(gen, FT_ERR_UNAVAILABLE,
                           "connection %td was closed while nothing was read from it",
                           conn - gen->conns);
    return FT_OK;
}
