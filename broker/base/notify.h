/*
 * Words to whoever supervises this process: the datagrams of sd_notify(3), without its library. Nobody
 * listens where NOTIFY_SOCKET is not set; then all of this does nothing.
 */
#ifndef FT_BASE_NOTIFY_H
#define FT_BASE_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct ft_notify {
    int fd_; /* -1: nobody listens */
    struct sockaddr_un to_;
    socklen_t to_bytes_;
    uint64_t watchdog_us_;
};

/* Reads NOTIFY_SOCKET (a path, or an abstract name behind "@"), WATCHDOG_USEC and WATCHDOG_PID; what
 * is wrong with them is logged, and as if it were not there. */
void ft_notify_init(struct ft_notify *notify, char *const *environment);
void ft_notify_fini(struct ft_notify *notify);

/*
 * Sends lines of NAME=VALUE. Waits for at most a second where the listener's queue is full; what cannot
 * be sent is logged.
 */
void ft_notify_send(const struct ft_notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Returns within which time "WATCHDOG=1" has to be sent again and again, in microseconds; 0: it has not. */
uint64_t ft_notify_watchdog_us(const struct ft_notify *notify);

#endif
