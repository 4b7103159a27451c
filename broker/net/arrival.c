/*
 * The time that a connection has before it is a WebSocket: to send its request, and to send another
 * one. Who is too slow is cut off, or a few thousand that drip a byte a second would hold all places.
 * libwebsockets has time-outs for this; on adopted sockets they do not fire. The worker's thread.
 */
#include "broker/base/alloc.h"
#include "broker/net/private.h"

#include <stdlib.h>
#include <sys/socket.h>

/* For the next request on a connection that is kept alive; what browsers and proxies expect. */
#define KEEPALIVE_MS 60000

struct ft_arrival *ft_arrival_new(struct ft_net *net, int fd, bool is_over_limit)
{
    struct ft_arrival *arrival = ft_alloc_zero(sizeof(*arrival));
    arrival->fd = fd;
    arrival->is_over_limit = is_over_limit;
    ft_wheel_set(&net->arrivals, &arrival->timer,
                 (uint64_t)net->loops->options.header_timeout_s * 1000);
    return arrival;
}

void ft_arrival_free(struct ft_arrival *arrival)
{
    if (!arrival)
        return;
    ft_wheel_cancel(&arrival->timer);
    free(arrival);
}

void ft_arrival_answered(struct lws *wsi)
{
    struct ft_arrival *arrival = lws_get_opaque_user_data(wsi);
    ft_wheel_set(&ft_net_of(wsi)->arrivals, &arrival->timer, KEEPALIVE_MS);
}

void ft_arrival_upgraded(struct lws *wsi)
{
    ft_arrival_free(lws_get_opaque_user_data(wsi));
    lws_set_opaque_user_data(wsi, NULL);
}

void ft_arrivals_tick(struct ft_net *net)
{
    ft_wheel_tick(&net->arrivals);
    struct ft_wheel_timer *timer;
    while ((timer = ft_wheel_next_due(&net->arrivals))) {
        struct ft_arrival *arrival =
            (struct ft_arrival *)((char *)timer - offsetof(struct ft_arrival, timer));
        /* libwebsockets sees the end of the stream and closes, in its own time. */
        shutdown(arrival->fd, SHUT_RDWR);
    }
}
