/*
 * The protocol of sd_notify(3): a datagram of lines to a Unix socket whose name is in the environment.
 * Knows nothing of what is told. The main thread.
 */
#include "broker/base/notify.h"

#include "broker/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* A status names every listener: 64 of them, an address of 64 bytes each. */
#define MESSAGE_MAX 8192

/* A supervisor that is slow may still want to hear it; one that is stuck must not hold us. */
#define SEND_S 1

static const char *find(char *const *environment, const char *name)
{
    size_t len = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return *environment + len + 1;
    return NULL;
}

/* Reads a number above 0. */
static bool read_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    unsigned long long read = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || read == 0)
        return false;
    *number = read;
    return true;
}

static void refuse(const char *name, const char *value)
{
    char shown[256];
    ft_log(FT_LOG_WARN, "notify_ignored", "variable=%s value=%s", name,
           ft_log_value(value, shown, sizeof(shown)));
}

/* Returns 0 where the watchdog is off, or is another process's. */
static uint64_t read_watchdog(char *const *environment)
{
    const char *period = find(environment, "WATCHDOG_USEC");
    const char *owner = find(environment, "WATCHDOG_PID");
    uint64_t us, pid;
    if (!period)
        return 0;
    if (!read_number(period, &us)) {
        refuse("WATCHDOG_USEC", period);
        return 0;
    }
    if (owner && !read_number(owner, &pid)) {
        refuse("WATCHDOG_PID", owner);
        return 0;
    }
    return owner && pid != (uint64_t)getpid() ? 0 : us;
}

static bool read_address(const char *name, struct ft_notify *notify)
{
    size_t len = strlen(name);
    bool is_abstract = name[0] == '@';
    if ((!is_abstract && name[0] != '/') || len < 2 || len >= sizeof(notify->to_.sun_path))
        return false;
    notify->to_.sun_family = AF_UNIX;
    memcpy(notify->to_.sun_path, name, len + 1);
    if (is_abstract)
        notify->to_.sun_path[0] = '\0';
    /* A path may end in its zero byte; of an abstract name it would be a part. */
    notify->to_bytes_ =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (is_abstract ? 0 : 1));
    return true;
}

void ft_notify_init(struct ft_notify *notify, char *const *environment)
{
    const char *name = find(environment, "NOTIFY_SOCKET");
    *notify = (struct ft_notify){.fd_ = -1};
    if (!name)
        return;
    if (!read_address(name, notify)) {
        refuse("NOTIFY_SOCKET", name);
        return;
    }
    notify->fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->fd_ < 0) {
        ft_log(FT_LOG_WARN, "notify_failed", "errno=%d", errno);
        return;
    }
    struct timeval bound = {.tv_sec = SEND_S};
    (void)setsockopt(notify->fd_, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound));
    notify->watchdog_us_ = read_watchdog(environment);
}

void ft_notify_fini(struct ft_notify *notify)
{
    if (notify->fd_ >= 0)
        close(notify->fd_);
    notify->fd_ = -1;
}

void ft_notify_send(const struct ft_notify *notify, const char *format, ...)
{
    char message[MESSAGE_MAX];
    if (notify->fd_ < 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    size_t bytes = len < MESSAGE_MAX ? (size_t)len : MESSAGE_MAX - 1;
    if (sendto(notify->fd_, message, bytes, MSG_NOSIGNAL, (const struct sockaddr *)&notify->to_,
               notify->to_bytes_) < 0)
        ft_log(FT_LOG_WARN, "notify_failed", "errno=%d", errno);
}

uint64_t ft_notify_watchdog_us(const struct ft_notify *notify)
{
    return notify->watchdog_us_;
}
