/*
 * How the hub reaches its edges, and they each other: small tables of functions that net/ and http/
 * fill in and broker/app/ ties together. The hub includes none of them. (The port to auth/ is gate.h.)
 */
#ifndef FT_HUB_PORTS_H
#define FT_HUB_PORTS_H

#include "protocol/buffer.h"
#include "protocol/encoding.h"
#include "protocol/error.h"
#include "protocol/proxy_head.h"
#include "protocol/slice.h"

enum ft_write_result {
    FT_WRITE_DONE,    /* all of it went to the system */
    FT_WRITE_BLOCKED, /* all of it was taken, but wait for `writable` before the next */
    FT_WRITE_DEAD     /* the connection is gone; `gone` follows */
};

struct ft_identity;
struct ft_quota_share;

/* What a session, or an HTTP connection, asks of the socket below it. Never blocks, never calls back. */
struct ft_conn_ops {
    /* Sends bytes as they are. They are lent for the call only. */
    enum ft_write_result (*write)(void *conn, struct ft_slice bytes);

    /* Stops (or starts again) to read what the peer sends. Repeating it is allowed. */
    void (*pause)(void *conn, bool paused);

    /* Returns for how many milliseconds nothing at all has come from the peer: not a byte, also of
     * frames that ft_session_heard() is not told of. Asked before a session is given up. */
    uint64_t (*silence_ms)(void *conn);

    /* Returns how many bytes the peer has taken since the connection began. It only grows. */
    uint64_t (*taken_bytes)(void *conn);

    /* Lends the address of who is at the other end: the peer's, or what ft_http_transport.speaks_for() said.
     * NULL: not known. */
    const struct ft_ip *(*client)(void *conn);

    /* Ends the connection after what was written. With `lingers` the peer may be sending still: that is
     * thrown away for a while, or the system would take back what the peer has not read. `gone` follows,
     * not from within. Repeating it is allowed. */
    void (*finish)(void *conn, bool lingers);

    /* Ends the connection now, without another word; `gone` follows, not from within. */
    void (*kill)(void *conn);
};

/* What a worker asks of the loop that runs it. */
struct ft_loop_ops {
    /* Makes worker `index` run a turn soon. Any thread. */
    void (*wake)(void *loops, uint32_t index);

    /* Makes worker `index` run a turn at least every `ms`, or not any more (0). Its own thread. */
    void (*hurry)(void *loops, uint32_t index, uint32_t ms);
};

/* Who is at the other end of a connection. */
struct ft_peer {
    struct ft_ip ip; /* by the PROXY protocol, where the listener speaks it */
    bool is_tls;
    bool is_local;      /* from loopback to loopback, and by no PROXY header */
    bool is_over_limit; /* of limits.connections: it is there to be told so */
};

/* A connection becomes a WebSocket. */
struct ft_upgrade {
    enum ft_encoding encoding;
    struct ft_identity *who;               /* a reference, taken */
    struct ft_quota_share *address, *user; /* references, taken, each with one connection counted */
    struct ft_slice rest; /* bytes that came behind the request: its first frames */
};

/* What net/ offers to an HTTP connection beyond ft_conn_ops. */
struct ft_http_transport {
    const struct ft_conn_ops *ops;
    void *conn;
    struct ft_peer peer;

    /* The peer is a proxy that speaks for this client from now on. */
    void (*speaks_for)(void *conn, const struct ft_ip *client);

    /* Makes the connection a WebSocket; the response, 101, was written. The HTTP connection is freed by the
     * service itself, right after. */
    void (*upgrade)(void *conn, const struct ft_upgrade *upgrade);
};

struct ft_worker;
struct ft_http_conn;

/* Who speaks HTTP: broker/http/. Called on the worker's thread. */
struct ft_http_service {
    struct ft_http_conn *(*open)(void *service, struct ft_worker *worker,
                                 const struct ft_http_transport *transport);

    /* Bytes have come. Returns false when the connection is not HTTP any more: it was upgraded, and the
     * struct is freed. */
    bool (*receive)(struct ft_http_conn *http, struct ft_slice bytes);

    /* The socket takes bytes again. */
    void (*writable)(struct ft_http_conn *http);

    /* The connection is closed; frees the struct. */
    void (*gone)(struct ft_http_conn *http);
};

#endif
