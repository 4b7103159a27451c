/*
 * Connections of listeners behind a load balancer that speaks the PROXY protocol: before anything else, TLS
 * included, comes a header that says who the client is. It is read here, to the byte, and libwebsockets
 * gets the socket afterwards. Who sends no such header is cut off. The worker's thread.
 */
#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/net/private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Time for the header, which a proxy sends with its first packet. */
#define WAIT_MS 5000

/* Of the header: up to its length, which comes last there. */
#define FIXED_BYTES 16

struct ft_proxied {
    uv_poll_t poll;
    struct ft_conn *conn;
    struct ft_proxied *next, **link; /* of the loop */
    int wanted;                      /* bytes; the socket counts as readable from there on */
};

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Has the loop wait for so many bytes. Without this it would turn in circles while a part is there, which
 * is only looked at. */
static void want(struct ft_proxied *wait, int bytes)
{
    wait->wanted = bytes;
    (void)setsockopt(wait->conn->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

/* Stops to look at the socket, so that somebody else may. */
static struct ft_conn *let_go(struct ft_proxied *wait)
{
    struct ft_conn *conn = wait->conn;
    conn->proxied = NULL;
    *wait->link = wait->next;
    if (wait->next)
        wait->next->link = wait->link;
    want(wait, 1);
    uv_poll_stop(&wait->poll);
    uv_close((uv_handle_t *)&wait->poll, on_poll_closed);
    return conn;
}

void ft_proxied_forget(struct ft_conn *conn)
{
    if (conn->proxied)
        (void)let_go(conn->proxied);
}

/* Returns 1 when the header is there, and takes it off the socket; 0: it is not yet; -1: it never will. */
static int read_header(struct ft_proxied *wait, struct ft_proxy_head *head,
                       struct ft_problem *problem)
{
    int fd = wait->conn->fd;
    uint8_t bytes[FT_PROXY_HEAD_MAX];
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    int result = n > 0 ? ft_proxy_head_read(ft_slice(bytes, (size_t)n), head, problem) : -1;
    if (result == 0 && n >= wait->wanted) {
        want(wait, FIXED_BYTES + (bytes[FIXED_BYTES - 2] << 8 | bytes[FIXED_BYTES - 1]));
        return 0;
    }
    if (result == 1 && recv(fd, bytes, head->size, MSG_DONTWAIT) == (ssize_t)head->size)
        return 1;
    if (problem->err == FT_OK)
        ft_problem_set(problem, FT_ERR_BAD_REQUEST, "the connection ended before its header did");
    return -1;
}

void ft_proxied_refuse(struct ft_conn *conn)
{
    ft_count(&conn->net->worker->metrics.connections_refused[FT_REFUSAL_PROXY], 1);
    ft_conn_free(conn);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct ft_proxied *wait = poll->data;
    struct ft_conn *conn = wait->conn;
    struct ft_proxy_head head;
    struct ft_problem problem = {.err = FT_OK};
    ft_net_enter(conn->net);
    int result = status < 0 ? -1 : read_header(wait, &head, &problem);
    if (result == 0)
        return; /* the rest of it is on its way */
    (void)let_go(wait);
    if (result < 0) {
        char value[FT_PROBLEM_TEXT_MAX + 8];
        ft_log(FT_LOG_DEBUG, "proxy_header_refused", "cause=%s",
               ft_log_value(problem.text, value, sizeof(value)));
        ft_proxied_refuse(conn);
        return;
    }
    ft_wheel_cancel(&conn->timer);
    conn->is_local = false;
    if (head.is_proxied)
        conn->ip = head.client;
    ft_conn_adopt(conn);
}

void ft_proxied_wait(struct ft_conn *conn)
{
    struct ft_proxied *wait = ft_alloc_zero(sizeof(*wait));
    wait->conn = conn;
    wait->poll.data = wait;
    conn->proxied = wait;
    uv_poll_init(&conn->net->loop, &wait->poll, conn->fd);
    uv_poll_start(&wait->poll, UV_READABLE, on_readable);
    want(wait, FIXED_BYTES);
    wait->next = conn->net->proxied;
    wait->link = &conn->net->proxied;
    if (wait->next)
        wait->next->link = &wait->next;
    conn->net->proxied = wait;
    ft_wheel_set(&conn->net->deadlines, &conn->timer, WAIT_MS);
}

void ft_proxied_stop(struct ft_net *net)
{
    while (net->proxied)
        ft_conn_free(net->proxied->conn);
}
