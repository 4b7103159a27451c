/*
 * The floor server: one process, one thread, one epoll, recv() and send(). It trusts its only client,
 * the bench that forked it, and ends with it. Nothing here may be cleverer than what a broker could
 * do with the same system calls, nor do more than a broker has to.
 */
#include "clients/cli/bench/floor.h"

#include "broker/base/alloc.h"
#include "clients/cli/bench/load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_BYTES   65536
#define EVENTS_MAX 1024
#define BACKLOG    4096
#define TAIL_MAX   64
#define FDS_OWN    16 /* standard streams, listener, epoll */

struct peer {
    int fd;
    bool is_known, is_publisher;
    uint32_t index;
    size_t received; /* bytes of the burst that is coming in */
    uint32_t cursor; /* FT_FLOOR_PAIRS: the publisher's next feed, counted from its first */
    uint8_t
        tail[TAIL_MAX]; /* FT_FLOOR_SINK: what came last, to see a barrier that came in pieces */
};

struct floor {
    struct ft_floor_plan plan;
    int epoll_fd, listen_fd;
    struct peer *peers; /* by file descriptor */
    uint32_t peer_cap;
    int *subscribers; /* file descriptors by number */
    uint32_t *seqs;   /* next sequence by feed */
    uint8_t *rx, *tx;
    size_t stamp_at; /* in plan.msg */
};

/* The floor has nobody to report to but the bench, which sees the connections end. */
static void give_up(const char *what)
{
    fprintf(stderr, "fantail bench: floor: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void send_all(int fd, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            n -= (size_t)sent;
            continue;
        }
        if (errno != EAGAIN)
            give_up("send");
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        (void)poll(&room, 1, -1);
    }
}

static void fan_out(struct floor *floor)
{
    const struct ft_floor_plan *plan = &floor->plan;
    uint8_t *at = floor->tx;
    for (uint32_t i = 0; i < plan->burst; i++, at += plan->msg.len)
        ft_stamp_put(0, floor->seqs[0]++, at + floor->stamp_at);
    for (uint32_t i = 0; i < plan->subscribers; i++)
        send_all(floor->subscribers[i], floor->tx, plan->burst * plan->msg.len);
}

static void send_pairs(struct floor *floor, struct peer *publisher)
{
    const struct ft_floor_plan *plan = &floor->plan;
    uint32_t feeds = plan->subscribers / plan->publishers;
    for (uint32_t i = 0; i < plan->burst; i++) {
        uint32_t feed = publisher->index * feeds + publisher->cursor;
        publisher->cursor = publisher->cursor + 1 == feeds ? 0 : publisher->cursor + 1;
        ft_stamp_put(feed, floor->seqs[feed]++, floor->tx + floor->stamp_at);
        send_all(floor->subscribers[feed], floor->tx, plan->msg.len);
    }
    if (plan->ok.len > 0)
        send_all(publisher->fd, plan->ok.ptr, plan->ok.len);
}

/* Says whether the bytes that came so far end with the barrier; keeps their tail for the next call. */
static bool ends_with_barrier(struct peer *peer, struct ft_slice barrier, const uint8_t *bytes,
                              size_t n)
{
    size_t len = barrier.len;
    if (n >= len) {
        memcpy(peer->tail, bytes + n - len, len);
    } else {
        memmove(peer->tail, peer->tail + n, len - n);
        memcpy(peer->tail + len - n, bytes, n);
    }
    return memcmp(peer->tail, barrier.ptr, len) == 0;
}

static void take_bytes(struct floor *floor, struct peer *peer, const uint8_t *bytes, size_t n)
{
    const struct ft_floor_plan *plan = &floor->plan;
    if (plan->kind == FT_FLOOR_SINK) {
        if (ends_with_barrier(peer, plan->barrier, bytes, n))
            send_all(peer->fd, plan->ok.ptr, plan->ok.len);
        return;
    }
    peer->received += n;
    size_t burst_size = plan->burst * plan->publication_size;
    while (peer->received >= burst_size) {
        peer->received -= burst_size;
        if (plan->kind == FT_FLOOR_FANOUT)
            fan_out(floor);
        else
            send_pairs(floor, peer);
    }
}

static void take_hello(struct floor *floor, struct peer *peer, const char *hello, size_t n)
{
    char role;
    if (n != FT_FLOOR_HELLO_LEN || sscanf(hello, FT_FLOOR_HELLO, &role, &peer->index) != 2)
        give_up("bad hello");
    peer->is_known = true;
    peer->is_publisher = role == 'P';
    uint32_t bound = peer->is_publisher ? floor->plan.publishers : floor->plan.subscribers;
    if (peer->index >= bound)
        give_up("a number out of bounds in the hello");
    if (!peer->is_publisher)
        floor->subscribers[peer->index] = peer->fd;
    send_all(peer->fd, (const uint8_t *)FT_FLOOR_READY, strlen(FT_FLOOR_READY));
}

static void receive(struct floor *floor, struct peer *peer)
{
    ssize_t n = recv(peer->fd, floor->rx, RX_BYTES, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(peer->fd);
        peer->is_known = false;
        return;
    }
    if (peer->is_known) {
        take_bytes(floor, peer, floor->rx, (size_t)n);
        return;
    }
    floor->rx[n] = '\0';
    take_hello(floor, peer, (const char *)floor->rx, (size_t)n);
}

static void accept_all(struct floor *floor)
{
    int fd, on = 1;
    while ((fd = accept4(floor->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if ((uint32_t)fd >= floor->peer_cap)
            give_up("a file descriptor out of bounds");
        floor->peers[fd] = (struct peer){.fd = fd};
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(floor->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
            give_up("epoll_ctl");
    }
    if (errno != EAGAIN)
        give_up("accept");
}

static void prepare(struct floor *floor)
{
    const struct ft_floor_plan *plan = &floor->plan;
    floor->peer_cap = plan->subscribers + plan->publishers + FDS_OWN;
    floor->peers = ft_alloc_zero(floor->peer_cap * sizeof(*floor->peers));
    floor->subscribers = ft_alloc_zero((plan->subscribers + 1) * sizeof(*floor->subscribers));
    floor->seqs = ft_alloc_zero((plan->subscribers + 1) * sizeof(*floor->seqs));
    floor->rx = ft_alloc(RX_BYTES + 1);
    floor->tx = ft_alloc(plan->burst * plan->msg.len + 1);
    for (uint32_t i = 0; i < plan->burst && plan->msg.len > 0; i++)
        memcpy(floor->tx + i * plan->msg.len, plan->msg.ptr, plan->msg.len);
    if (plan->msg.len > 0) {
        uint8_t *stamp = memmem(floor->tx, plan->msg.len, FT_STAMP_MARK, FT_STAMP_MARK_LEN);
        FT_ASSERT(stamp != NULL);
        floor->stamp_at = (size_t)(stamp - floor->tx);
    }
    floor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = floor->listen_fd};
    if (floor->epoll_fd < 0 ||
        epoll_ctl(floor->epoll_fd, EPOLL_CTL_ADD, floor->listen_fd, &event) != 0)
        give_up("epoll");
}

static void serve(struct floor *floor) __attribute__((noreturn));

static void serve(struct floor *floor)
{
    struct epoll_event events[EVENTS_MAX];
    prepare(floor);
    for (;;) {
        int n = epoll_wait(floor->epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == floor->listen_fd)
                accept_all(floor);
            else
                receive(floor, &floor->peers[events[i].data.fd]);
        }
    }
}

enum ft_err ft_floor_start(struct ft_server *server, const struct ft_floor_plan *plan, int core,
                           struct ft_problem *problem)
{
    FT_ASSERT(plan->barrier.len <= TAIL_MAX);
    memset(server, 0, sizeof(*server));
    server->is_floor = true;
    server->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct floor floor = {.plan = *plan};
    socklen_t len = sizeof(server->address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&server->address, len) != 0 ||
        listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&server->address, &len) != 0) {
        enum ft_err err = ft_problem_set(problem, FT_ERR_UNAVAILABLE, "floor: cannot listen: %s",
                                         strerror(errno));
        if (fd >= 0)
            close(fd);
        return err;
    }
    floor.listen_fd = fd;
    pid_t pid = fork();
    if (pid == 0) {
        ft_server_become(core);
        floor.listen_fd = dup2(fd, STDERR_FILENO + 1); /* and none of the bench's own sockets */
        close_range(STDERR_FILENO + 2, ~0u, 0);
        serve(&floor);
    }
    close(fd);
    if (pid < 0)
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot fork: %s", strerror(errno));
    server->pid = pid;
    return FT_OK;
}
