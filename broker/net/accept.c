/*
 * Accepts connections and hands them to libwebsockets. Keeps their number below the limit on open
 * files by itself, because libwebsockets spins and floods its log when descriptors run out. The
 * worker's thread.
 */
#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/net/private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections that one readiness brings in at most, so that a storm of them does not hold up those
 * that are there already. */
#define ACCEPTS_PER_TURN 64

/* Answers without having read the request, where there is no room even to refuse properly. */
static void refuse_blindly(int fd)
{
#define FULL_BODY "{\"error\":{\"code\":503,\"message\":\"this node has no room for more\"}}\n"
    _Static_assert(sizeof(FULL_BODY) - 1 == 66, "Content-Length below");
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                 "Content-Type: application/json\r\n"
                                 "Content-Length: 66\r\n"
                                 "Connection: close\r\n"
                                 "Retry-After: 5\r\n\r\n" FULL_BODY;
    ssize_t sent = send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* it is a courtesy */
    shutdown(fd, SHUT_WR);
    close(fd);
}

/* Reads who is connected into 16 bytes. */
static struct ft_ip ip_of(const struct sockaddr_storage *address)
{
    struct ft_ip ip = {{[10] = 0xff, [11] = 0xff}};
    if (address->ss_family == AF_INET6)
        memcpy(ip.bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
    else
        memcpy(ip.bytes + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    return ip;
}

static void admit(struct ft_accepter *accepter, int fd, const struct sockaddr_storage *address)
{
    static const int on = 1;
    struct ft_loops *loops = accepter->net->loops;
    struct ft_metrics *metrics = &accepter->net->worker->metrics;
    uint32_t now = atomic_fetch_add(&loops->connections, 1) + 1;
    uint32_t most = atomic_load(&loops->connections_max);
    if (now > most + loops->refusals_max) {
        atomic_fetch_sub(&loops->connections, 1);
        refuse_blindly(fd);
        ft_count(&metrics->connections_refused[FT_REFUSAL_FULL], 1);
        return;
    }
    ft_count(metrics->connections_accepted, 1);
    ft_count(metrics->worker_connections, 1);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct ft_conn *conn = ft_conn_new(accepter->net, fd);
    conn->is_tls = accepter->listen->is_tls;
    conn->is_over_limit = now > most;
    conn->ip = ip_of(address);
    conn->is_local = ft_ip_is_loopback(&conn->ip); /* and so it came to loopback */
    if (accepter->listen->is_proxied)
        ft_proxied_wait(conn);
    else
        ft_conn_adopt(conn);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct ft_accepter *accepter = poll->data;
    if (status < 0)
        return;
    ft_net_enter(accepter->net);
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage address;
        socklen_t len = sizeof(address);
        int fd =
            accept4(accepter->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(accepter, fd, &address);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            ft_log(FT_LOG_WARN, "accept_paused", "cause=\"%s\"", strerror(errno));
            accepter->is_paused = true;
            uv_poll_stop(poll);
            return;
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

void ft_accept_start(struct ft_net *net)
{
    size_t count = net->loops->options.listen_count;
    net->accepters = ft_alloc_zero(count * sizeof(*net->accepters));
    for (size_t i = 0; i < count; i++) {
        struct ft_accepter *accepter = &net->accepters[i];
        accepter->net = net;
        accepter->fd = net->loops->listeners[net->index * count + i].fd;
        accepter->listen = &net->loops->options.listen[i];
        uv_poll_init(&net->loop, &accepter->poll, accepter->fd);
        accepter->poll.data = accepter;
        uv_poll_start(&accepter->poll, UV_READABLE, on_readable);
    }
}

void ft_accept_retry(struct ft_net *net)
{
    for (size_t i = 0; i < net->loops->options.listen_count; i++) {
        struct ft_accepter *accepter = &net->accepters[i];
        if (accepter->is_paused && !net->is_stopping) {
            accepter->is_paused = false;
            uv_poll_start(&accepter->poll, UV_READABLE, on_readable);
        }
    }
}

void ft_accept_stop(struct ft_net *net)
{
    size_t count = net->loops->options.listen_count;
    for (size_t i = 0; i < count; i++) {
        uv_close((uv_handle_t *)&net->accepters[i].poll, NULL);
        struct ft_listener *listener = &net->loops->listeners[net->index * count + i];
        close(listener->fd);
        listener->fd = -1;
    }
}
