/*
 * How the hub reaches its edges, and they each other: small tables of functions that net/ and http/
 * fill in and broker/app/ ties together. The hub includes none of them.
 */
#ifndef FT_HUB_PORTS_H
#define FT_HUB_PORTS_H

#include "protocol/buffer.h"
#include "protocol/error.h"
#include "protocol/slice.h"

enum ft_write_result {
    FT_WRITE_DONE,    /* all of it went to the system */
    FT_WRITE_BLOCKED, /* all of it was taken, but wait for ft_session_writable() before the next */
    FT_WRITE_DEAD     /* the connection is gone; ft_session_gone() follows */
};

/* What a session asks of its connection. Never blocks, never calls back into the session. */
struct ft_conn_ops {
    /* Sends whole frames as they are. The bytes are lent for the call only. */
    enum ft_write_result (*write)(void *conn, struct ft_slice frames);

    /* Stops (or starts again) to read what the peer sends. Repeating it is allowed. */
    void (*pause)(void *conn, bool paused);

    /* Returns for how many milliseconds nothing at all has come from the peer: not a byte, also of
     * frames that ft_session_heard() is not told of. Asked before a session is given up. */
    uint64_t (*silence_ms)(void *conn);

    /* Returns how many bytes the peer has taken since the connection began. It only grows. */
    uint64_t (*taken_bytes)(void *conn);

    /* Ends the connection after what was written; what the peer still sends is thrown away. `gone`
     * follows, not from within. Repeating it is allowed. */
    void (*finish)(void *conn);

    /* Ends the connection now, without another word; ft_session_gone() follows, not from within. */
    void (*kill)(void *conn);
};

/* What a worker asks of the loop that runs it. */
struct ft_loop_ops {
    /* Makes worker `index` run a turn soon. Any thread. */
    void (*wake)(void *loops, uint32_t index);

    /* Makes worker `index` run a turn at least every `ms`, or not any more (0). Its own thread. */
    void (*hurry)(void *loops, uint32_t index, uint32_t ms);
};

/* One HTTP request, as far as a route needs it. Slices die with the call. */
struct ft_http_request {
    struct ft_slice method; /* "GET" */
    struct ft_slice path;   /* decoded, without the query */
};

/* What goes back. `status` 0 means that nothing was decided yet. */
struct ft_http_response {
    int status;
    const char *content_type; /* static */
    const char *allow;        /* static; the Allow header's value, or NULL */
    struct ft_buffer body;
};

struct ft_worker;

/* Who answers plain HTTP. Called on the worker's thread. */
struct ft_http_service {
    void (*handle)(struct ft_worker *worker, const struct ft_http_request *request,
                   struct ft_http_response *response);
};

/*
 * Makes `response` a refusal: the status and {"error":{"code":…,"message":…}} (SPEC.md section 2).
 * Both HTTP routes and refused upgrades answer so.
 */
void ft_http_refuse(struct ft_http_response *response, int status, const char *message);

#endif
