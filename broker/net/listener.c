/*
 * Listening sockets and how many connections they may bring. Every worker has sockets of its own on
 * the same addresses (SO_REUSEPORT), so that the kernel spreads connections and nobody passes them
 * on. The main thread, before the others start.
 */
#include "broker/base/alloc.h"
#include "broker/net/private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections that wait to be accepted; the kernel caps it (net.core.somaxconn). */
#define BACKLOG 4096

/* Bytes that the kernel takes for a connection before it has sent them. By default it takes megabytes for
 * a peer that does not read: memory that a parked session is meant not to cost. Who reads has hardly ever
 * anything unsent here, on whatever line: what is on its way does not count (tcp(7)). */
#define UNSENT_BYTES (256 * 1024)

/* Descriptors that are not connections: what the process begins with and what libraries open (9
 * were counted) … */
#define FILES_RESERVED 16
/* … and what a loop needs: epoll, eventfds, libwebsockets' pipe and its /dev/urandom (6
 * counted). */
#define FILES_PER_WORKER 8
/* Open files where no more are asked for; fewer would leave a reload no room to raise the number of
 * connections. Not all that the system would give, which in containers can be a billion:
 * libwebsockets takes memory for each that could be, in each worker. */
#define FILES_DEFAULT 65536
/* Connections over the limit that are heard, so that they get their 503. */
#define REFUSALS_MAX 64

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Reads "ADDR:PORT" or "[IPv6]:PORT"; its form was checked with the configuration. */
static socklen_t parse_address(const char *text, union address *address)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (n == 0 || n >= sizeof(host))
        return 0;
    memcpy(host, text, n);
    host[n] = '\0';
    uint16_t port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    memset(address, 0, sizeof(*address));
    if (host[0] == '[') {
        host[n - 1] = '\0';
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = port;
        return inet_pton(AF_INET6, host + 1, &address->v6.sin6_addr) == 1 ? sizeof(address->v6) : 0;
    }
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = port;
    return inet_pton(AF_INET, host, &address->v4.sin_addr) == 1 ? sizeof(address->v4) : 0;
}

static void show_address(int fd, char *out, size_t size)
{
    union address address;
    socklen_t len = sizeof(address);
    char host[INET6_ADDRSTRLEN];
    if (getsockname(fd, &address.any, &len) != 0)
        snprintf(out, size, "?");
    else if (address.any.sa_family == AF_INET6)
        snprintf(out, size, "[%s]:%u",
                 inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof(host)),
                 ntohs(address.v6.sin6_port));
    else
        snprintf(out, size, "%s:%u", inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof(host)),
                 ntohs(address.v4.sin_port));
}

static int open_socket(const union address *address, socklen_t len, bool is_shared)
{
    static const int on = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0;
    if (ok && is_shared)
        ok = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
    if (ok && address->any.sa_family == AF_INET6)
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0;
    static const int unsent = UNSENT_BYTES; /* accepted sockets inherit it */
    if (ok)
        ok = setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent)) == 0;
    if (ok && bind(fd, &address->any, len) == 0 && (!is_shared || listen(fd, BACKLOG) == 0))
        return fd;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

/*
 * Settles which port it is, and that nobody else has it: sockets that share a port would let a
 * second broker of the same user in too, and it would quietly get half of the connections.
 */
static bool settle_port(union address *address, socklen_t len)
{
    int fd = open_socket(address, len, false);
    if (fd < 0)
        return false;
    bool ok = getsockname(fd, &address->any, &len) == 0;
    close(fd);
    return ok;
}

static bool open_listeners(struct ft_loops *loops, size_t i, char error[FT_LOOPS_ERROR_MAX])
{
    const char *text = loops->options.listen[i].address;
    union address address;
    socklen_t len = parse_address(text, &address);
    if (len == 0) {
        snprintf(error, FT_LOOPS_ERROR_MAX, "cannot listen on %s: not an IP address and a port",
                 text);
        return false;
    }
    bool ok = settle_port(&address, len);
    for (uint32_t w = 0; ok && w < loops->options.workers; w++) {
        struct ft_listener *listener = &loops->listeners[w * loops->options.listen_count + i];
        listener->fd = open_socket(&address, len, true);
        ok = listener->fd >= 0;
        if (ok)
            show_address(listener->fd, listener->address, sizeof(listener->address));
    }
    if (!ok)
        snprintf(error, FT_LOOPS_ERROR_MAX, "cannot listen on %s: %s", text, strerror(errno));
    return ok;
}

bool ft_listeners_open(struct ft_loops *loops, char error[FT_LOOPS_ERROR_MAX])
{
    size_t all = loops->options.listen_count * loops->options.workers;
    loops->listeners = ft_alloc_zero(all * sizeof(*loops->listeners));
    for (size_t i = 0; i < all; i++)
        loops->listeners[i].fd = -1;
    for (size_t i = 0; i < loops->options.listen_count; i++) {
        if (!open_listeners(loops, i, error))
            return false;
    }
    return true;
}

void ft_listeners_close(struct ft_loops *loops)
{
    size_t all = loops->options.listen_count * loops->options.workers;
    for (size_t i = 0; loops->listeners && i < all; i++) {
        if (loops->listeners[i].fd >= 0)
            close(loops->listeners[i].fd);
    }
    free(loops->listeners);
    loops->listeners = NULL;
}

/* Sets the limit on open files to `wanted`, or as near below as the system lets us; returns what it
 * is. */
static uint64_t set_files(uint64_t wanted)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 0;
    files.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    return getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 0;
}

bool ft_limits_settle(struct ft_loops *loops, char error[FT_LOOPS_ERROR_MAX])
{
    uint64_t wanted = loops->options.connections;
    uint64_t fixed =
        FILES_RESERVED + loops->options.workers * (FILES_PER_WORKER + loops->options.listen_count);
    uint64_t needed = fixed + REFUSALS_MAX + wanted;
    uint64_t all = set_files(needed > FILES_DEFAULT ? needed : FILES_DEFAULT);
    uint64_t refusals = all / 8 < REFUSALS_MAX ? all / 8 : REFUSALS_MAX;
    uint64_t ours = fixed + refusals;
    if (all <= ours || wanted > all - ours) {
        snprintf(
            error, FT_LOOPS_ERROR_MAX,
            "limits.connections = %llu with %u workers needs %llu open files, but the limit is "
            "%llu: raise it (ulimit -n, LimitNOFILE=) or ask for less",
            (unsigned long long)wanted, loops->options.workers,
            (unsigned long long)(ours + (wanted ? wanted : 1)), (unsigned long long)all);
        return false;
    }
    loops->refusals_max = (uint32_t)refusals;
    loops->places = (uint32_t)(all - ours);
    atomic_init(&loops->connections_max, wanted ? (uint32_t)wanted : loops->places);
    return true;
}
