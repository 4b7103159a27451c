/* Asks the kernel about a connection. A file of its own because struct tcp_info of netinet/tcp.h, which
 * libwebsockets includes, ends before the fields that count bytes (tcp(7), TCP_INFO; Linux 4.1). */
#include "broker/net/tcp.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

static bool get_info(int fd, struct tcp_info *info)
{
    socklen_t len = sizeof(*info);
    *info = (struct tcp_info){0};
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0;
}

uint64_t ft_tcp_silence_ms(int fd)
{
    struct tcp_info info;
    /* The next write or read will say what is wrong. */
    return get_info(fd, &info) ? info.tcpi_last_data_recv : 0;
}

uint64_t ft_tcp_deaf_ms(int fd)
{
    struct tcp_info info;
    if (!get_info(fd, &info) || info.tcpi_unacked == 0)
        return 0; /* everything was heard */
    return info.tcpi_last_ack_recv;
}

uint64_t ft_tcp_taken_bytes(int fd)
{
    struct tcp_info info;
    return get_info(fd, &info) ? info.tcpi_bytes_acked : 0;
}
