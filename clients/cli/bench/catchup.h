/*
 * Sessions that catch up: all of them subscribe from a position in the past, and get what was
 * published since, a backlog that is checked number by number. They begin with nothing, so that the
 * same connections can catch up again and again.
 */
#ifndef FT_CLI_BENCH_CATCHUP_H
#define FT_CLI_BENCH_CATCHUP_H

#include "clients/cli/bench/gen.h"
#include "clients/cli/bench/load.h"

#define FT_CATCHUP_DATA_LEN 128
#define FT_CATCHUP_BURST    32

/* What the rows have in common: so many sessions, and so many publications that each has missed. */
#define FT_CATCHUP_SESSIONS 1000
#define FT_CATCHUP_BACKLOG  10000

struct ft_catchup_options {
    enum ft_encoding encoding;
    uint32_t sessions;
    uint32_t backlog;  /* publications that a session has to catch up with */
    uint32_t topics;   /* that take turns; all sessions subscribe to all of them by one filter */
    bool is_staggered; /* each session begins at a place of its own, in the backlog's first tenth */
};

struct ft_catchup {
    struct ft_catchup_options options;
    struct ft_gen *gen;
    const char *filter;
    char stream[32];
    uint64_t head;         /* the position before the backlog, in this stream */
    uint32_t first_seq;    /* of the backlog */
    struct ft_load *loads; /* by topic */
    uint8_t *frames;       /* a burst as it goes out */
    bool is_resuming;      /* an ok has to say that it recovered */
    bool is_noting;        /* an ok says where the backlog begins */
};

/* Prepares a generator, and connects its sessions and a publisher. */
FT_MUST_USE
enum ft_err ft_catchup_init(struct ft_catchup *catchup, const struct ft_catchup_options *options,
                            struct ft_gen *gen, const struct ft_server *server);

/* Drops the connections, too. Allowed after a failed init, and on a zeroed struct. */
void ft_catchup_fini(struct ft_catchup *catchup);

/* Subscribes all sessions to what comes, and notes where that begins; or the first of them alone. */
FT_MUST_USE
enum ft_err ft_catchup_subscribe(struct ft_catchup *catchup, uint32_t sessions);

/* Publishes the backlog, and awaits it at each of so many sessions, which must be subscribed. */
FT_MUST_USE
enum ft_err ft_catchup_publish(struct ft_catchup *catchup, uint32_t sessions);

/* Subscribes all sessions from where the backlog begins, and awaits all of it. */
FT_MUST_USE
enum ft_err ft_catchup_resume(struct ft_catchup *catchup);

/* Ends the subscriptions of so many sessions. */
FT_MUST_USE
enum ft_err ft_catchup_unsubscribe(struct ft_catchup *catchup, uint32_t sessions);

/* Takes stream and offset from the position in an `ok` or a `gap`; false: there is none. */
bool ft_catchup_read_position(const struct ft_envelope *env, char stream[32], uint64_t *offset);

#endif
