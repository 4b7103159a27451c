/* Words to the service manager: what is sent, and what the environment may say. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/base/notify.h"

static struct ft_notify of(const char *const *environment)
{
    struct ft_notify notify;
    ft_log_set_level(FT_LOG_ERROR); /* what is ignored is said on a level below */
    ft_notify_init(&notify, (char *const *)environment);
    return notify;
}

/* Opens a socket with an abstract name that the system chose, and writes NOTIFY_SOCKET for it. */
static int listen_at(char text[128])
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t bytes = sizeof(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&name, sizeof(sa_family_t)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&name, &bytes), 0);
    snprintf(text, 128, "NOTIFY_SOCKET=@%.*s", (int)(bytes - sizeof(sa_family_t) - 1),
             name.sun_path + 1);
    return fd;
}

static uint64_t watchdog_of(const char *period, const char *pid)
{
    char name[128];
    int fd = listen_at(name);
    const char *environment[] = {name, period, pid, NULL};
    struct ft_notify notify = of(environment);
    uint64_t us = ft_notify_watchdog_us(&notify);
    ft_notify_fini(&notify);
    close(fd);
    return us;
}

Test(notify, a_message_is_one_datagram)
{
    char name[128], heard[64];
    int fd = listen_at(name);
    struct ft_notify notify = of((const char *[]){"NOTIFY=no", name, NULL});
    ft_notify_send(&notify, "READY=1\nSTATUS=%d of %s", 2, "them");
    ft_notify_fini(&notify);
    ssize_t n = recv(fd, heard, sizeof(heard), 0);
    cr_assert_eq(n, 24);
    cr_assert_arr_eq(heard, "READY=1\nSTATUS=2 of them", 24);
    close(fd);
}

Test(notify, nothing_happens_without_a_socket)
{
    struct ft_notify notify = of((const char *[]){"WATCHDOG_USEC=1000000", NULL});
    ft_notify_send(&notify, "READY=1");
    cr_assert_eq(ft_notify_watchdog_us(&notify), 0);
    ft_notify_fini(&notify);
}

Test(notify, the_watchdog_is_for_whom_it_names)
{
    char own[64];
    snprintf(own, sizeof(own), "WATCHDOG_PID=%d", (int)getpid());
    cr_assert_eq(watchdog_of("WATCHDOG_USEC=30000000", NULL), 30000000);
    cr_assert_eq(watchdog_of("WATCHDOG_USEC=30000000", own), 30000000);
    cr_assert_eq(watchdog_of("WATCHDOG_USEC=30000000", "WATCHDOG_PID=1"), 0);
    cr_assert_eq(watchdog_of("WATCHDOG_USEC=30000000", "WATCHDOG_PID=me"), 0);
    cr_assert_eq(watchdog_of("WATCHDOG_USEC=0", NULL), 0);
    cr_assert_eq(watchdog_of("WATCHDOG_USEC= 5", NULL), 0);
    cr_assert_eq(watchdog_of("WATCHDOG_USEC=5s", NULL), 0);
}
