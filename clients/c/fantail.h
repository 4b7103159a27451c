/*
 * libfantail: publish to and subscribe at a Fantail broker from C, over WebSocket.
 *
 *     connecting ──▶ open ──▶ waiting ──▶ connecting …        any ──▶ closed
 *
 * A client connects by itself, keeps every subscription across reconnects, and waits between
 * attempts a random time between 0.5 s and 0.5 s · 2^n, at most 20 s. It is driven by one thread
 * that calls fantail_run(); all callbacks come from inside that call (and fantail_free()). Only
 * fantail_wake() and fantail_stop() may be called from other threads and from signal handlers.
 *
 * After a reconnect subscriptions go on where they were: the client knows up to which position each
 * of them has got everything, and the broker delivers, first and in order, what came after it. Every
 * publication then arrives once, as if the connection had never been away, and on_resume says so; or
 * the broker cannot prove it (it was started anew, or keeps less than the break was long), and
 * on_resume says that too. A subscription that was made meanwhile starts live. What a break cuts off
 * and nobody repeats are retained values and the past that `last` asked for.
 *
 * Codes are the protocol's (HTTP's numbers) everywhere: what a function returns, what a result or
 * an error carries; 0 is success. Bytes that a callback gets die when it returns. A callback may
 * call every function here except fantail_run() and fantail_free().
 *
 * The process ignores SIGPIPE from the first fantail_new() on: libwebsockets sees to that.
 */
#ifndef FANTAIL_H
#define FANTAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fantail;              /* one client: a connection that comes back */
struct fantail_subscription; /* a handler and its filters */

/* The codes that the client itself gives; a broker may send others. */
enum fantail_code {
    FANTAIL_OK = 0,
    FANTAIL_BAD = 400,       /* an argument is not valid: fantail_error_text() says which and why */
    FANTAIL_TOO_LARGE = 413, /* larger than the broker takes (64 KiB until it said otherwise) */
    FANTAIL_FULL = 429,      /* the queue is full: run, then try again */
    FANTAIL_UNAVAILABLE = 503, /* the client is closed */
    FANTAIL_LOST = 504 /* the connection broke before the answer: accepted or not, unknown */
};

enum fantail_state { FANTAIL_CONNECTING, FANTAIL_OPEN, FANTAIL_WAITING, FANTAIL_CLOSED };

/* "connecting", "open", "waiting" or "closed". */
const char *fantail_state_name(enum fantail_state state);

/* Bytes that are lent. `ptr` is NULL where there are none. Not terminated by a NUL. */
struct fantail_bytes {
    const void *ptr;
    size_t len;
};

/* What data is. Publishers choose any; each is carried faithfully in either encoding. */
enum fantail_kind {
    FANTAIL_JSON,   /* the UTF-8 text of one JSON value */
    FANTAIL_STRING, /* UTF-8 text, to be sent as a string; deliveries never have this kind */
    FANTAIL_BYTES,  /* bytes */
    FANTAIL_MSGPACK /* one MessagePack value */
};

/* A delivery. On a JSON connection `data` is FANTAIL_JSON or FANTAIL_BYTES, else FANTAIL_MSGPACK. */
struct fantail_message {
    struct fantail_bytes topic;
    enum fantail_kind kind;
    struct fantail_bytes data;
    struct fantail_bytes
        pos;        /* where in the stream: "<stream>.<offset>"; of an ephemeral topic: NULL */
    uint64_t at_ms; /* when the broker accepted it, Unix time */
    bool retained;  /* the topic's last value, not news; `pos` and `at_ms` are its own */
};

/* How a request ended. */
struct fantail_result {
    int code;                 /* 0: accepted */
    const char *message;      /* why not; "" when accepted */
    struct fantail_bytes pos; /* of an accepted publication */
    bool duplicate;           /* a publication with this key was accepted before; `pos` is its */
    bool recovered; /* of a subscription with `since`: everything after it will come; false: some of
                       it may be missing, what is still there will come */
    uint32_t retry_ms; /* trying again after so long can help; 0: nothing is known */
};

/* Why the client is in its state. */
struct fantail_status {
    int code;           /* HTTP's or WebSocket's close code that ended the connection; 0: none */
    const char *reason; /* a sentence; "" while all is well */
    uint32_t retry_ms;  /* in FANTAIL_WAITING: until the next attempt */
    const char *url;    /* of the broker that this is about */
};

/* The broker could not keep the feed whole: it goes on behind what is missing. */
struct fantail_gap {
    struct fantail_bytes reason; /* "slow", "expired" or "relay" */
    bool has_lost;               /* `lost` is known */
    uint64_t lost;               /* publications that are missing */
    const char *const *pos;      /* the positions from which it goes on, `pos_count` of them */
    size_t pos_count;
};

typedef void fantail_message_fn(struct fantail *f, const struct fantail_message *message,
                                void *user);
typedef void fantail_result_fn(struct fantail *f, const struct fantail_result *result, void *user);

/* Everything that a client can be told at birth. Zero is each one's default; strings are copied. */
struct fantail_options {
    const char *url; /* ws:// or wss://, default "ws://127.0.0.1:8080/ws"; without a path: /ws */
    /* Instead of `url`: the nodes of a cluster, 64 at most. The first is tried first. When a connection
     * is lost, another node is next, soon (less than `wait_min_ms`), and subscriptions go on there. */
    const char *const *urls;
    size_t url_count;
    bool msgpack;      /* speak MessagePack; default JSON */
    const char *token; /* sent as "Authorization: Bearer …"; default none */
    /* Instead of `token`: asked for one before each attempt to connect, and when the broker says that
     * the one in use has expired; the connection goes on with it then. Returns text that is lent until
     * the next call, or NULL: there is none. With it, a client that was open once is not closed by
     * a refused token: it tries again with the next one. `user` is that of the callbacks below. */
    const char *(*get_token)(struct fantail *f, void *user);
    const char *ca_file; /* PEM file of the authorities to trust for wss://; default the system's */
    bool insecure;       /* wss:// without looking at the certificate; for development only */
    bool fail_first; /* become closed when the very first attempt fails, of several URLs at each;
                            default: try again */

    void *user; /* given to the callbacks below */
    void (*on_state)(struct fantail *f, enum fantail_state state,
                     const struct fantail_status *status, void *user);
    /* Deliveries that match a subscription without a handler of its own, each once. */
    fantail_message_fn *on_message;
    /* After a reconnect, once the broker has answered for the subscriptions that were in force, and
     * before it delivers what they have missed. `recovered`: nothing is missing. False comes as soon
     * as it is known: some may be, what the broker still has will come. Once for each connection,
     * not where there was no subscription; what a subscription was refused is told by on_error. */
    void (*on_resume)(struct fantail *f, bool recovered, void *user);
    void (*on_gap)(struct fantail *f, const struct fantail_gap *gap, void *user);
    /* What went wrong and belongs to no request of yours. With 403 the operator, or a fresh token that
     * permits less, may have ended subscriptions to some filters: these are left out from then on. */
    void (*on_error)(struct fantail *f, int code, const char *message, void *user);

    uint32_t wait_min_ms; /* shortest pause before a reconnect, default 500 */
    uint32_t wait_max_ms; /* longest, default 20,000 */
    size_t queue_bytes;   /* publications not yet answered, default 16 MiB */
    uint32_t queue_count; /* the same in number, default 65,536 */
    size_t message_bytes; /* largest message taken from the broker, default 4 MiB */
};

/*
 * Makes a client that begins to connect at its first fantail_run(). Returns NULL when an option is
 * not valid, with a sentence in `why` (room for `why_size` bytes; may be NULL).
 */
struct fantail *fantail_new(const struct fantail_options *options, char *why, size_t why_size);

/* Frees the client and its subscriptions; drops the connection. Publications that are still without
 * an answer end with FANTAIL_UNAVAILABLE first. */
void fantail_free(struct fantail *f);

/*
 * Sends what is queued, waits up to `timeout_ms` (-1: without a bound, 0: not at all) for something
 * to happen, and handles it. Returns after one turn, so call it in a loop; true while the client
 * lives, false once it is closed or fantail_stop() was called.
 */
bool fantail_run(struct fantail *f, int timeout_ms);

/* Makes the fantail_run() under way, or the next one, return. Any thread, any signal handler. */
void fantail_wake(struct fantail *f);

/* The same, and every fantail_run() from then on returns false. Any thread, any signal handler. */
void fantail_stop(struct fantail *f);

/*
 * Ends the connection in an orderly way: no more reconnects, what is queued is sent, then a close
 * frame. Go on with fantail_run() until it returns false: 2 s at most after the last answer.
 */
void fantail_close(struct fantail *f);

enum fantail_state fantail_state(const struct fantail *f);

/* The `user` of the options. */
void *fantail_user(const struct fantail *f);

/* The session's id as the broker named it; "" before the first welcome. Lent until the next run. */
const char *fantail_session(const struct fantail *f);

/* Says in a sentence why the last call on this client failed. Lent until the next call. */
const char *fantail_error_text(const struct fantail *f);

/* Without `since` and `last` a subscription starts live, after the retained values of its topics. */
struct fantail_subscribe_options {
    /* Go on after these `since_count` positions, one for each stream, as fantail_position() gave
     * them: what is stored after them comes first. on_result says whether all of it could be
     * `recovered`. Copied. The broker brings a publication once: what came for other subscriptions
     * of this client before does not come again for this one. */
    const char *const *since;
    size_t since_count;
    uint32_t last;     /* first deliver up to so many stored ones of each topic; not with `since`.
                          Made while others resume, it is asked for three seconds behind them */
    uint32_t every_ms; /* at most one a topic and so long, the newest (3,600,000 at most) */
    fantail_result_fn *on_result; /* the broker's first answer to this subscription, once */
};

/*
 * Subscribes `handler` (NULL: the client's on_message) to `n` filters, now if the client is open and
 * again after every reconnect. A delivery goes once to each subscription that has a matching filter,
 * in the order of subscribing. All filters or none: the broker's refusal ends the subscription for
 * on_result (or on_error), but it stays yours until fantail_unsubscribe(). `options` may be NULL.
 * Subscribing to the same filter again replaces `every_ms` at the broker, for all who share it.
 * Requests to subscribe go ahead of publications that are still queued. Returns 0 and sets
 * `*subscription`, or FANTAIL_BAD, FANTAIL_TOO_LARGE, FANTAIL_FULL, FANTAIL_UNAVAILABLE.
 */
int fantail_subscribe(struct fantail *f, const char *const *filters, size_t n,
                      const struct fantail_subscribe_options *options, fantail_message_fn *handler,
                      void *user, struct fantail_subscription **subscription);

/* Room for any position, NUL included. */
#define FANTAIL_POSITION_MAX 86

/*
 * Returns how many positions a subscription has: one for each stream that it touches, none before its
 * first answer unless it was given some. They are all that has to be kept to go on in another process
 * with `since`: everything up to them was given to the handler, the message under way included. Ask
 * again after each fantail_run(), or in the handler.
 */
size_t fantail_position_count(const struct fantail_subscription *subscription);

/* Writes the n-th of them into `out` of `size` bytes, with a NUL, and returns its length. */
size_t fantail_position(const struct fantail_subscription *subscription, size_t n, char *out,
                        size_t size);

/* Ends a subscription: its handler is not called again. Filters that no other one shares are given up
 * at the broker. NULL is allowed. Where a reconnect took several requests (another `every_ms`, or more
 * filters than fit into a message), what the ended one had brought to others may come to them again
 * after the next break. */
void fantail_unsubscribe(struct fantail *f, struct fantail_subscription *subscription);

struct fantail_publish_options {
    bool retain;     /* also the topic's last value; with the JSON value null: clears that */
    uint32_t ttl_s;  /* keep it so long; 0: as long as the broker does */
    const char *key; /* 1-128 bytes, copied. Makes it idempotent: of those with one key on one topic
                        within 120 s the first counts. So it is sent again after a break, and where
                        the broker answers 503 or 504 and says when: not before its time, not in its
                        order, and of unknown end for no longer than 100 s */
    fantail_result_fn *on_result;
    void *user; /* for on_result */
};

/*
 * Queues a publication and returns 0; it leaves with the next fantail_run(), together with others.
 * What was returned 0 for ends exactly once, through on_result: accepted with its position, refused
 * by the broker, FANTAIL_LOST (it was under way when the connection broke, and has no key or one that
 * the broker may have forgotten; the broker says the same of its own relay), or FANTAIL_UNAVAILABLE. While the client is not open it waits in the queue. `options` may be NULL.
 * Returned FANTAIL_BAD, FANTAIL_TOO_LARGE, FANTAIL_FULL or FANTAIL_UNAVAILABLE, it was not taken.
 */
int fantail_publish(struct fantail *f, const char *topic, enum fantail_kind kind, const void *data,
                    size_t len, const struct fantail_publish_options *options);

/* Which part of a topic's past. All zero: the last 100. The broker gives at most 1,000 at once. */
struct fantail_history_options {
    uint32_t last;     /* up to so many of the latest */
    const char *since; /* instead: those after this position, from the oldest on */
    uint32_t limit;    /* with `since`: up to so many; 0: 100 */
    void *user;        /* for the callback */
};

/* The answer. Everything in it dies when the callback returns. */
struct fantail_history {
    int code;                               /* 0: here it is */
    const char *message;                    /* why not; "" when it is */
    uint32_t retry_ms;                      /* as in struct fantail_result */
    const struct fantail_message *messages; /* oldest first */
    size_t count;
    bool recovered; /* of `since`: nothing is missing between it and the first of these */
};

typedef void fantail_history_fn(struct fantail *f, const struct fantail_history *history,
                                void *user);

/*
 * Asks for what the broker still has of a topic (no wildcards). `done` is called exactly once, with
 * the answer, a refusal, or FANTAIL_UNAVAILABLE where the client is closed before; a break in between
 * only delays it. `options` may be NULL. Returns 0, or FANTAIL_BAD, FANTAIL_FULL (1,024 requests
 * without an answer), FANTAIL_UNAVAILABLE: then `done` is not called.
 */
int fantail_history(struct fantail *f, const char *topic,
                    const struct fantail_history_options *options, fantail_history_fn *done);

/* One who is present on a topic. */
struct fantail_present {
    const char *session;
    const char *user;  /* NULL: nobody in particular */
    uint64_t since_ms; /* Unix time */
};

/* The answer. Everything in it dies when the callback returns. */
struct fantail_presence {
    int code;                              /* 0: here it is */
    const char *message;                   /* why not; "" when it is */
    uint32_t retry_ms;                     /* as in struct fantail_result */
    uint64_t count;                        /* of all who are there, on any node */
    const struct fantail_present *clients; /* those who were there first: 1,000 at most */
    size_t client_count;
};

typedef void fantail_presence_fn(struct fantail *f, const struct fantail_presence *presence,
                                 void *user);

/*
 * Asks who is present on a topic, for which the operator must have switched that on (404). `done` is
 * called exactly once, as with fantail_history(). Returns 0, or FANTAIL_BAD, FANTAIL_FULL (64 requests
 * without an answer), FANTAIL_UNAVAILABLE: then `done` is not called. Changes come as publications on
 * "$presence/<topic>".
 */
int fantail_presence(struct fantail *f, const char *topic, fantail_presence_fn *done, void *user);

/* Publications that have not ended. */
size_t fantail_pending(const struct fantail *f);

#ifdef __cplusplus
}
#endif

#endif
