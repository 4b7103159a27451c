/*
 * The load generator: many WebSocket connections, or event streams, to one server on one epoll. It
 * finds publications by the stamp that load.h puts into them, and checks every one of them: the right feed, and a sequence
 * that neither skips nor repeats. Nothing here is per row; a row (scenario_*.c) publishes, and waits
 * with ft_gen_await().
 *
 * The first thing that goes wrong is kept in `problem`, and every call from then on returns it.
 */
#ifndef FT_CLI_BENCH_GEN_H
#define FT_CLI_BENCH_GEN_H

#include "clients/cli/bench/server.h"
#include "protocol/buffer.h"
#include "protocol/encoding.h"
#include "protocol/envelope.h"

/* Without any progress for so long, a wait has failed. */
#define FT_GEN_STALL_MS 5000

/* The sequence that no publication has: of a subscriber that must get its `ok` first. */
#define FT_GEN_BEFORE_OK UINT32_MAX

struct ft_gen_conn {
    int fd;
    uint32_t feed;     /* a subscriber: the numbering that it expects; a publisher: its own index */
    uint32_t next_seq; /* a subscriber: the sequence that comes next */
    uint32_t sent;     /* for the row: publications so far */
    uint32_t in_flight; /* for the row */
    bool is_events;     /* an event stream, no WebSocket */
    bool takes_any;     /* the next publication may be any later one: a gap was told */
    uint8_t gaps;       /* told so far */
    uint32_t carry_len_;
    uint32_t carry_cap_;
    uint8_t *carry_; /* the beginning of a frame whose end has not come yet */
};

struct ft_gen;

/* What a row does on arrivals; each may be NULL. Called from within ft_gen_poll(). */
struct ft_gen_hooks {
    void (*on_msg)(struct ft_gen *gen, struct ft_gen_conn *conn, uint32_t seq);
    void (*on_ok)(struct ft_gen *gen, struct ft_gen_conn *conn, const struct ft_envelope *env);
    /* NULL: a gap is a failure. */
    void (*on_gap)(struct ft_gen *gen, struct ft_gen_conn *conn, const struct ft_envelope *env);
    void (*on_writable)(struct ft_gen *gen, struct ft_gen_conn *conn);
};

/* A frame as the server sent it, kept so that the floor can send the same. */
struct ft_gen_sample {
    uint8_t bytes[4096];
    size_t len;
};

struct ft_gen {
    const struct ft_server *server;
    enum ft_encoding encoding;
    struct ft_gen_conn *conns;
    uint32_t count;
    const struct ft_gen_hooks *hooks;
    void *ctx;
    uint64_t delivered; /* publications that arrived, and were right */
    uint64_t oks;
    uint64_t pings; /* of the server, each answered */
    struct ft_gen_sample msg, ok;
    struct ft_problem problem;
    int epoll_fd;
    uint32_t cap_;
    uint8_t *rx_;
    uint8_t *scratch_;
    size_t stamp_at_; /* where the last stamp stood in its payload: the next one stands there too */
};

enum ft_gen_role { FT_GEN_SUBSCRIBER, FT_GEN_PUBLISHER };

/* Connections that are alike. */
struct ft_gen_group {
    enum ft_gen_role role;
    uint32_t count;
    const char *topic; /* a subscriber's filter; NULL: it subscribes later, if ever */
    bool is_numbered;  /* the i-th subscribes to "<topic>/<i>", and expects feed i instead of 0 */
    /* Nothing is read after its `ok`, until ft_gen_unpark(). Linux takes 64 KiB in for it even so. (With
     * a small SO_RCVBUF loopback's large segments do not fit the window: 8 KiB every 200 ms.) */
    bool is_parked;
    uint32_t first_seq; /* the sequence that a subscriber expects first */
    bool is_events;     /* subscribers by GET /v1/events */
};

/* Room for a numbered topic of the bench. */
#define FT_GEN_TOPIC_MAX 64

/* Writes the i-th topic of a numbered group: always of the same length. */
void ft_gen_topic(const char *topic, uint32_t index, char out[FT_GEN_TOPIC_MAX]);

/* Prepares for at most `cap` connections. The server must outlive the generator. */
void ft_gen_init(struct ft_gen *gen, const struct ft_server *server, enum ft_encoding encoding,
                 uint32_t cap);

/* Drops all connections (with a reset, so that no port lingers) and frees all. */
void ft_gen_fini(struct ft_gen *gen);

/* Opens, upgrades and subscribes a group's connections, behind those that exist. */
FT_MUST_USE
enum ft_err ft_gen_connect(struct ft_gen *gen, const struct ft_gen_group *group);

/* Waits up to `timeout_ms` (-1: for ever) for arrivals and takes them. */
FT_MUST_USE
enum ft_err ft_gen_poll(struct ft_gen *gen, int timeout_ms);

/* Polls until `*counter`, which arrivals move, has reached `target`. */
FT_MUST_USE
enum ft_err ft_gen_await(struct ft_gen *gen, const uint64_t *counter, uint64_t target);

/* Sends all bytes, and waits where the socket is full. A failure may be left to the next poll. */
enum ft_err ft_gen_send(struct ft_gen *gen, struct ft_gen_conn *conn, struct ft_slice bytes);

/*
 * Asks for a subscription, from `since` on ("<stream>.<offset>") or, NULL, from now on; for its end;
 * or for nothing, which proves that all before it was handled. The `ok` comes while the generator
 * polls.
 */
FT_MUST_USE
enum ft_err ft_gen_subscribe(struct ft_gen *gen, struct ft_gen_conn *conn, const char *filter,
                             const char *since);
FT_MUST_USE
enum ft_err ft_gen_unsubscribe(struct ft_gen *gen, struct ft_gen_conn *conn, const char *filter);
FT_MUST_USE
enum ft_err ft_gen_ping(struct ft_gen *gen, struct ft_gen_conn *conn);

/* Reads a parked connection from here on. */
FT_MUST_USE
enum ft_err ft_gen_unpark(struct ft_gen *gen, struct ft_gen_conn *conn);

/* Fails when a parked connection was closed. */
FT_MUST_USE
enum ft_err ft_gen_check_parked(struct ft_gen *gen, const struct ft_gen_conn *conn);

/* Calls on_writable while the connection can be written, or no longer. */
void ft_gen_watch_writable(struct ft_gen *gen, struct ft_gen_conn *conn, bool on);

/* Notes what went wrong, if it is the first, and returns the first. */
enum ft_err ft_gen_fail(struct ft_gen *gen, enum ft_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
