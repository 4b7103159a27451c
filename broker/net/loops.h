/*
 * The loops: one thread per worker, each with its libuv loop, its libwebsockets context and its own
 * listening sockets. Turns what libwebsockets reports into calls of the hub. The only header of net/
 * that broker/app/ needs; no library's handle shows in it.
 */
#ifndef FT_NET_LOOPS_H
#define FT_NET_LOOPS_H

#include "broker/hub/worker.h"

struct ft_loops;

/* An address to listen on, and what is spoken there. */
struct ft_listen {
    const char *address; /* "ADDR:PORT" or "[IPv6]:PORT", valid (broker/app/option.c) */
    bool is_tls;
    bool is_proxied; /* connections begin with a header of the PROXY protocol, version 2 */
};

struct ft_loops_options {
    const struct ft_listen *listen; /* outlives the loops */
    size_t listen_count;
    uint32_t workers;
    uint32_t shutdown_ms;           /* for clients to answer their close frame */
    uint64_t connections;           /* 0: what the limit on open files allows */
    const char *tls_cert, *tls_key; /* PEM files; where any listener speaks TLS */
    const struct ft_http_service *http;
};

/* Longest line of ft_loops_new()'s `error`. */
#define FT_LOOPS_ERROR_MAX 256

/*
 * Opens the listening sockets and prepares a loop for each worker. Returns NULL with a line in
 * `error` when that cannot be: an address is taken, the limit on open files leaves no room.
 */
struct ft_loops *ft_loops_new(const struct ft_loops_options *options,
                              char error[FT_LOOPS_ERROR_MAX]);

/* What the hub asks of the loops; ctx is the struct ft_loops. */
const struct ft_loop_ops *ft_loops_ops(void);

/* Starts a thread for each worker of `hub` and begins to accept. */
void ft_loops_start(struct ft_loops *loops, struct ft_hub *hub);

/* Returns the address that listener `i` really has, as in "127.0.0.1:41234" or "[::1]:8080"; NULL
 * after the last. */
const char *ft_loops_address(const struct ft_loops *loops, size_t i);

/*
 * Changes two of the options, at any time and from any thread; 0 connections as in the options.
 * Returns false when the process may not have so many open files; only a new one may, so the number
 * of connections stays.
 */
bool ft_loops_configure(struct ft_loops *loops, uint64_t connections, uint32_t shutdown_ms);

/*
 * Has new connections use these PEM files, which every worker does when this returns; those that are there
 * keep what they have. Returns false with a line in `error`, and changes nothing, when they cannot be used. Main
 * thread.
 */
bool ft_loops_reload_tls(struct ft_loops *loops, const char *cert, const char *key,
                         char error[FT_LOOPS_ERROR_MAX]);

/* Says whether the loop of every worker has turned since this was last true; it turns at least each
 * FT_WHEEL_TICK_MS. Main thread. */
bool ft_loops_have_turned(struct ft_loops *loops);

/* Closes the listeners and every connection, with close code 1001, within shutdown_ms, and
 * waits for the threads to end. */
void ft_loops_stop(struct ft_loops *loops);

void ft_loops_free(struct ft_loops *loops);

#endif
