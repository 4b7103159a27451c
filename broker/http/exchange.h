/*
 * An exchange: one HTTP request and its response, as routes see them. A route answers at once, or begins
 * something (a publish, a question to other workers) and answers when that is done; responses leave in the
 * order of the requests, whenever they are done (conn.c). The worker's thread.
 */
#ifndef FT_HTTP_EXCHANGE_H
#define FT_HTTP_EXCHANGE_H

#include "broker/hub/asker.h"
#include "broker/hub/ports.h"
#include "protocol/buffer.h"
#include "protocol/http_head.h"

struct ft_http_conn;

/* One request. All of it is lent and dies when the route returns. */
struct ft_http_request {
    const struct ft_http_head *head; /* fields, path and query as they came; HEAD is HEAD there */
    struct ft_slice body;
};

struct ft_http_response {
    int status;               /* 0: nothing was decided yet */
    const char *content_type; /* static; NULL: there is no body */
    const char *cache;        /* Cache-Control, static; NULL: no-store */
    bool is_endless;          /* it has no length: the answer to HEAD where GET is a stream */
    struct ft_buffer headers; /* further header lines, each with its \r\n */
    struct ft_buffer body;
    struct ft_slice file; /* what follows the body: static bytes; absent: nothing */
};

/* Returns how long a response's content is. */
static inline size_t ft_http_response_bytes(const struct ft_http_response *response)
{
    return response->body.len + response->file.len;
}

struct ft_exchange {
    struct ft_asker asker; /* the worker, and who asks; its ops are the route's */
    struct ft_http_conn *conn;
    struct ft_http_response response;
    struct ft_exchange *next;
    uint64_t begun_us; /* monotonic: the turn in which it was complete */
    uint16_t route;    /* enum ft_route, for the metrics */
    bool is_head;      /* the body is measured, not sent */
    bool is_last;      /* the connection ends after it */
    bool is_done;
    bool is_held;        /* its publishes wait for the journal */
    bool wants_continue; /* the client waits for 100 before it sends the body */

    void *state; /* a route's own, while it waits */
    void (*free_state)(
        struct ft_exchange *exchange); /* also called when the connection is gone first */
};

struct ft_http_options;

/* Who is connected, and what the operator decided: for this turn. */
const struct ft_peer *ft_exchange_peer(const struct ft_exchange *exchange);
const struct ft_http_options *ft_exchange_options(const struct ft_exchange *exchange);

/* The peer is a trusted proxy, and whatever the connection becomes is for this client. */
void ft_exchange_speaks_for(const struct ft_exchange *exchange, const struct ft_ip *client);

/* The response is complete: it may leave, at the end of the turn. */
void ft_exchange_done(struct ft_exchange *exchange);

/* The journal is full: no request more is read from this connection; or it is again. The worker's word to an
 * asker (hub/asker.h); repeating it is allowed. */
void ft_exchange_hold(struct ft_exchange *exchange, bool on);

/* Makes the response a refusal, {"error":{"code":…,"message":…}} as JSON, or as MessagePack where the request
 * accepts that; and the exchange done.
 * Headers that were added stay. `request` NULL: it could not be read. A problem with retry_ms becomes Retry-After. */
void ft_exchange_refuse(struct ft_exchange *exchange, const struct ft_http_request *request,
                        int status, const char *message);
void ft_exchange_problem(struct ft_exchange *exchange, const struct ft_http_request *request,
                         const struct ft_problem *problem);

/* The same when the request is gone; its encoding was noted. */
void ft_exchange_fail(struct ft_exchange *exchange, enum ft_encoding encoding,
                      const struct ft_problem *problem);

/* Adds a header line, "Name: value". */
void ft_exchange_header(struct ft_exchange *exchange, const char *name, const char *value);

/*
 * Makes the connection a stream of events (SPEC.md section 7): answers 200 with text/event-stream and has a
 * session on it carry out `sub`, a whole `sub` envelope in JSON. Nothing is answered before that is known
 * to be good: on an error the exchange is refused. Otherwise it is freed: it was the connection's last one.
 */
void ft_exchange_stream(struct ft_exchange *exchange, const struct ft_http_request *request,
                        struct ft_slice sub);

#endif
