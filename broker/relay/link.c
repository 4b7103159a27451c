/*
 * A connection to Redis: socket, write buffer, reader, and who waits for which reply. What it means is
 * server.c's. The relay's thread.
 */
#include "broker/relay/link.h"

#include "broker/base/alloc.h"
#include "protocol/buffer.h"
#include "protocol/quote.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One read of a socket; and what the reader gets of it at once: it moves what it has not read yet to the front
 * again and again. */
#define READ_BYTES ((size_t)64 << 10)
#define FEED_BYTES ((size_t)8 << 10)

/* Reads of a connection that is given up: more than a socket holds. */
#define DRAIN_READS 256

/* Memory that a reader or an empty write buffer keeps. */
#define SPARE_BYTES ((size_t)1 << 20)

#define ASKED_MIN 64

/* Who waits for a reply. */
struct asked {
    ft_reply_fn fn;
    void *context;
};

/* libuv's own parts outlive the link by a turn or more; then they have no link any more. */
struct poller {
    uv_poll_t handle;
    struct ft_link *link;
};

struct resolver {
    uv_getaddrinfo_t request;
    struct ft_link *link;
};

struct ft_link {
    uv_loop_t *loop;
    const struct ft_link_ops *ops;
    void *owner;
    struct poller *poller; /* NULL: there is no socket */
    struct resolver *resolver;
    struct addrinfo *addresses, *address; /* all; that which is tried */
    int fd, events;
    bool is_open, is_over, is_paused, is_flooded, is_stuck; /* the socket takes nothing now */
    redisReader *reader;
    size_t partial; /* bytes of the reply that is not whole yet */
    struct ft_buffer out;
    size_t out_at;       /* written up to here */
    struct asked *asked; /* a ring */
    uint32_t asked_first, asked_count, asked_cap;
    uint32_t silent; /* ticks */
};

static void poll_for(struct ft_link *link);

static void lose(struct ft_link *link, const char *why)
{
    if (link->is_over)
        return;
    ft_link_mute(link);
    link->ops->lost(link->owner, link, why);
}

static void lose_for(struct ft_link *link, const char *what, int error)
{
    char why[FT_LINK_WHY_MAX];
    snprintf(why, sizeof(why), "%s: %s", what, strerror(error));
    lose(link, why);
}

/* ---- connecting ---- */

static void on_poller_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void drop_socket(struct ft_link *link)
{
    if (link->poller) {
        link->poller->link = NULL;
        uv_close((uv_handle_t *)&link->poller->handle, on_poller_closed);
    }
    if (link->fd >= 0)
        close(link->fd);
    link->poller = NULL;
    link->fd = -1;
    link->events = 0;
}

/* Begins to connect to one address. Returns 0, or the error. */
static int try_address(struct ft_link *link, const struct sockaddr *address, socklen_t len)
{
    int on = 1;
    drop_socket(link);
    link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0)
        return errno;
    if (address->sa_family != AF_UNIX)
        setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(link->fd, address, len) != 0 && errno != EINPROGRESS)
        return errno;
    struct poller *poller = ft_alloc_zero(sizeof(*poller));
    int error = uv_poll_init(link->loop, &poller->handle, link->fd);
    if (error != 0) {
        free(poller);
        return -error;
    }
    poller->handle.data = link->poller = poller;
    poller->link = link;
    poll_for(link);
    return 0;
}

/* Tries this address and those behind it. */
static void try_on(struct ft_link *link, int error)
{
    for (; link->address; link->address = link->address->ai_next) {
        error = try_address(link, link->address->ai_addr, link->address->ai_addrlen);
        if (error == 0)
            return;
    }
    lose_for(link, "cannot connect", error);
}

static void on_connected(struct ft_link *link)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        link->address = link->address ? link->address->ai_next : NULL;
        try_on(link, error);
        return;
    }
    link->is_open = true;
    poll_for(link);
    link->ops->opened(link->owner, link);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct resolver *resolver = request->data;
    struct ft_link *link = resolver->link;
    free(resolver);
    if (!link) {
        uv_freeaddrinfo(addresses);
        return;
    }
    link->ops->enter(link->owner);
    link->resolver = NULL;
    link->addresses = link->address = addresses;
    if (link->is_over)
        return;
    if (status != 0) {
        char why[FT_LINK_WHY_MAX];
        snprintf(why, sizeof(why), "cannot find its address: %s", uv_strerror(status));
        lose(link, why);
        return;
    }
    try_on(link, ENOENT);
}

static void connect_tcp(struct ft_link *link, const struct ft_redis_url *url)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    snprintf(port, sizeof(port), "%u", url->port);
    struct resolver *resolver = ft_alloc_zero(sizeof(*resolver));
    resolver->request.data = resolver;
    resolver->link = link;
    int error =
        uv_getaddrinfo(link->loop, &resolver->request, on_resolved, url->host, port, &hints);
    if (error == 0) {
        link->resolver = resolver;
        return;
    }
    free(resolver);
    lose_for(link, "cannot find its address", -error);
}

static void connect_unix(struct ft_link *link, const struct ft_redis_url *url)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, url->path, strlen(url->path) + 1); /* url.h: it fits */
    int error = try_address(link, (const struct sockaddr *)&address, sizeof(address));
    if (error != 0)
        lose_for(link, "cannot connect", error);
}

/* ---- reading ---- */

/* hiredis' own, but for one thing: it would reserve what a header claims. */
static redisReplyObjectFunctions bounded;
static void *(*make_array)(const redisReadTask *task, int elements);

static void *make_bounded_array(const redisReadTask *task, int elements)
{
    return elements <= FT_LINK_ELEMENTS_MAX ? make_array(task, elements) : NULL;
}

static redisReader *new_reader(void)
{
    redisReader *reader = redisReaderCreate();
    FT_ASSERT(reader);
    bounded = *reader->fn;
    make_array = bounded.createArray;
    bounded.createArray = make_bounded_array;
    reader->fn = &bounded;
    reader->maxbuf = SPARE_BYTES;
    return reader;
}

static void deliver(struct ft_link *link, const redisReply *reply)
{
    if (link->ops->sift(link->owner, link, reply))
        return;
    if (link->asked_count == 0) {
        char text[FT_QUOTE_MAX], why[FT_LINK_WHY_MAX];
        bool is_error = reply->type == REDIS_REPLY_ERROR;
        snprintf(why, sizeof(why), "%s%s",
                 is_error ? "it says " : "it answers what nobody has asked",
                 is_error ? ft_quote(ft_slice(reply->str, reply->len), text) : "");
        lose(link, why);
        return;
    }
    struct asked asked = link->asked[link->asked_first];
    link->asked_first = (link->asked_first + 1) % link->asked_cap;
    link->asked_count--;
    if (asked.fn)
        asked.fn(asked.context, reply);
}

/* Gives bytes to the reader, and what is whole to who waits for it. */
static void feed(struct ft_link *link, const char *bytes, size_t len)
{
    redisReader *reader = link->reader;
    void *reply = NULL;
    bool is_fed = redisReaderFeed(reader, bytes, len) == REDIS_OK;
    link->partial += len;
    while (is_fed && !link->is_over && redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
        link->partial = reader->len - reader->pos;
        deliver(link, reply);
        freeReplyObject(reply);
        reply = NULL;
    }
    if (reader->err != 0) {
        char text[FT_QUOTE_MAX], why[FT_LINK_WHY_MAX];
        snprintf(why, sizeof(why), "it does not speak Redis' protocol: %s",
                 ft_quote(ft_slice_str(reader->errstr), text));
        lose(link, why);
    } else if (link->partial > FT_LINK_REPLY_MAX) {
        link->is_flooded = true;
        lose(link, "a reply or message is larger than 64 MiB");
    }
}

/* Reads once. Returns false where there is no more. */
static bool on_readable(struct ft_link *link)
{
    char bytes[READ_BYTES];
    ssize_t n = recv(link->fd, bytes, sizeof(bytes), 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            lose_for(link, "connection lost", errno);
        return false;
    }
    if (n == 0) {
        lose(link, "it closed the connection");
        return false;
    }
    link->silent = 0;
    for (size_t at = 0; at < (size_t)n && !link->is_over; at += FEED_BYTES)
        feed(link, bytes + at, (size_t)n - at < FEED_BYTES ? (size_t)n - at : FEED_BYTES);
    return !link->is_over;
}

/* ---- events ---- */

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct poller *poller = handle->data;
    struct ft_link *link = poller->link;
    if (!link || link->is_over)
        return;
    link->ops->enter(link->owner);
    if (!link->is_open) {
        on_connected(link);
        return;
    }
    /* An error ends libuv's polling; reading tells which one it is. */
    if (status < 0 || (events & UV_READABLE))
        on_readable(link);
    if (status < 0)
        lose(link, "connection lost");
    if (!link->is_over && (events & UV_WRITABLE)) {
        link->is_stuck = false;
        ft_link_flush(link);
    }
}

/* Polls for what is waited for now. */
static void poll_for(struct ft_link *link)
{
    int events = 0;
    if (!link->poller)
        return;
    if (!link->is_over && (!link->is_open || link->is_stuck))
        events |= UV_WRITABLE;
    if (!link->is_over && link->is_open && !link->is_paused)
        events |= UV_READABLE;
    if (events == link->events)
        return;
    link->events = events;
    if (events == 0)
        uv_poll_stop(&link->poller->handle);
    else
        uv_poll_start(&link->poller->handle, events, on_poll);
}

/* ---- what server.c calls ---- */

struct ft_link *ft_link_new(uv_loop_t *loop, const struct ft_redis_url *url, size_t unsent_max,
                            const struct ft_link_ops *ops, void *owner)
{
    struct ft_link *link = ft_alloc_zero(sizeof(*link));
    link->loop = loop;
    link->ops = ops;
    link->owner = owner;
    link->fd = -1;
    link->reader = new_reader();
    link->asked_cap = ASKED_MIN;
    link->asked = ft_alloc(link->asked_cap * sizeof(*link->asked));
    ft_buffer_init(&link->out, unsent_max);
    if (url->host)
        connect_tcp(link, url);
    else
        connect_unix(link, url);
    return link;
}

void ft_link_mute(struct ft_link *link)
{
    link->is_over = true;
    poll_for(link);
}

void ft_link_drain(struct ft_link *link)
{
    if (!link || !link->is_open || link->is_paused || link->reader->err != 0)
        return;
    link->is_over = false;
    for (int i = 0; i < DRAIN_READS && on_readable(link); i++)
        continue;
    link->is_over = true;
}

void ft_link_close(struct ft_link *link)
{
    if (!link)
        return;
    ft_link_mute(link);
    for (; link->asked_count > 0; link->asked_count--) {
        struct asked asked = link->asked[link->asked_first];
        link->asked_first = (link->asked_first + 1) % link->asked_cap;
        if (asked.fn)
            asked.fn(asked.context, NULL);
    }
    drop_socket(link);
    if (link->resolver) {
        link->resolver->link = NULL;
        uv_cancel((uv_req_t *)&link->resolver->request);
    }
    uv_freeaddrinfo(link->addresses);
    redisReaderFree(link->reader);
    ft_buffer_fini(&link->out);
    free(link->asked);
    free(link);
}

static void grow_asked(struct ft_link *link)
{
    uint32_t cap = link->asked_cap * 2;
    struct asked *grown = ft_alloc(cap * sizeof(*grown));
    for (uint32_t i = 0; i < link->asked_count; i++)
        grown[i] = link->asked[(link->asked_first + i) % link->asked_cap];
    free(link->asked);
    link->asked = grown;
    link->asked_first = 0;
    link->asked_cap = cap;
}

void ft_link_send(struct ft_link *link, struct ft_slice command, ft_reply_fn fn, void *context)
{
    if (link->asked_count == 0)
        link->silent = 0;
    if (link->asked_count == link->asked_cap)
        grow_asked(link);
    link->asked[(link->asked_first + link->asked_count++) % link->asked_cap] =
        (struct asked){fn, context};
    ft_buffer_add(&link->out, command.ptr, command.len);
    if (link->out.failed)
        lose(link, "more waits to be sent than there is room for");
}

/* Gives back what was written of the buffer. */
static void trim(struct ft_link *link)
{
    struct ft_buffer *out = &link->out;
    if (link->out_at == out->len) {
        link->out_at = 0;
        ft_buffer_clear(out);
        if (out->cap_ > SPARE_BYTES)
            ft_buffer_fini(out);
    } else if (link->out_at > out->len / 2) {
        memmove(out->ptr, out->ptr + link->out_at, out->len - link->out_at);
        out->len -= link->out_at;
        link->out_at = 0;
    }
}

void ft_link_flush(struct ft_link *link)
{
    if (!link->is_open || link->is_over || link->is_stuck || link->out_at == link->out.len)
        return;
    size_t waits = link->out.len - link->out_at;
    ssize_t n = send(link->fd, link->out.ptr + link->out_at, waits, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lose_for(link, "connection lost", errno);
        return;
    }
    link->out_at += n > 0 ? (size_t)n : 0;
    link->is_stuck = link->out_at < link->out.len;
    trim(link);
    poll_for(link);
}

void ft_link_pause(struct ft_link *link, bool is_paused)
{
    link->is_paused = is_paused;
    link->silent = 0;
    poll_for(link);
}

uint32_t ft_link_tick(struct ft_link *link)
{
    bool is_waiting = link->is_open && !link->is_paused && link->asked_count > 0;
    link->silent = is_waiting ? link->silent + 1 : 0;
    return link->silent;
}

size_t ft_link_unsent(const struct ft_link *link)
{
    return link->out.len - link->out_at;
}

uint32_t ft_link_in_flight(const struct ft_link *link)
{
    return link->asked_count;
}

bool ft_link_is_flooded(const struct ft_link *link)
{
    return link->is_flooded;
}
