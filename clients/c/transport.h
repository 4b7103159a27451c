/*
 * One WebSocket connection at a time, and the loop that drives it. The only place in the client that
 * knows libwebsockets. Whole messages go up, raw frames go down.
 *
 *     ft_transport_connect() ─▶ on_open ─▶ on_message… ─▶ on_end      or ─▶ on_end at once
 *
 * Every connect ends in exactly one on_end. Events come from inside ft_transport_connect(),
 * ft_transport_run() and ft_transport_drop(). All of it belongs to one thread, but
 * ft_transport_wake().
 */
#ifndef FT_CLIENT_TRANSPORT_H
#define FT_CLIENT_TRANSPORT_H

#include "clients/c/url.h"
#include "protocol/encoding.h"
#include "protocol/slice.h"

struct ft_transport;

#define FT_END_REASON_MAX 200

/* Longest token that a broker takes. */
#define FT_TRANSPORT_TOKEN_MAX 8192

/* How a connection ended, or why there was none. */
struct ft_transport_end {
    bool was_open;
    int http_status;     /* the broker's refusal of the upgrade; 0: it did not get so far */
    uint16_t close_code; /* the broker's close frame; 0: none came */
    char reason[FT_END_REASON_MAX];
};

struct ft_transport_events {
    void (*on_open)(void *context);
    /* `is_text` tells the kind of message. Lent for the call. */
    void (*on_message)(void *context, struct ft_slice message, bool is_text);
    /* The socket takes bytes again. */
    void (*on_writable)(void *context);
    void (*on_end)(void *context, const struct ft_transport_end *end);
};

struct ft_transport_options {
    struct ft_url url; /* until ft_transport_aim() names another */
    bool has_tls;      /* one that it will name needs TLS */
    enum ft_encoding encoding;
    const char *ca_file;  /* NULL: the system's authorities. Lent as long as the transport lives */
    bool is_insecure;     /* take any certificate */
    size_t message_bytes; /* largest message taken */
};

/* Makes a transport without a connection. FT_ERR_UNAVAILABLE: libwebsockets could not start, for
 * example because `ca_file` cannot be read. */
FT_MUST_USE enum ft_err ft_transport_new(const struct ft_transport_options *options,
                                         const struct ft_transport_events *events, void *context,
                                         struct ft_transport **transport,
                                         struct ft_problem *problem);

/* Drops the connection without an event. */
void ft_transport_free(struct ft_transport *transport);

/* Names the address of the next connections. */
void ft_transport_aim(struct ft_transport *transport, const struct ft_url *url);

/* Begins to connect; there must be no connection. `token` goes as bearer, NULL or "" for none.
 * Resolving a name blocks. */
void ft_transport_connect(struct ft_transport *transport, const char *token);

/* Says whether frames may be written now. False: on_writable comes when they may. */
bool ft_transport_is_writable(struct ft_transport *transport);

/* Writes whole frames; the transport must be writable. What the socket does not take is kept. */
void ft_transport_write(struct ft_transport *transport, struct ft_slice frames);

/* Drops the connection, if there is one; `reason` is what on_end will say. */
void ft_transport_drop(struct ft_transport *transport, const char *reason);

/* Returns for how long nothing at all came from the peer, PINGs included; UINT64_MAX: unknown. */
uint64_t ft_transport_silence_ms(struct ft_transport *transport);

/* Waits up to `timeout_ms` (-1: without a bound) and handles what happened. */
void ft_transport_run(struct ft_transport *transport, int timeout_ms);

/* Makes ft_transport_run() return. Any thread, any signal handler. */
void ft_transport_wake(struct ft_transport *transport);

#endif
