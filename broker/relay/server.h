/*
 * One Redis server as the relay sees it: two connections, one for commands and one for Pub/Sub, which are
 * made, checked, watched and made again together.
 *
 *     AWAY ──connect──▶ GREETING ──checked, registered, own channels confirmed──▶ UP
 *      ▲                   │                                                       │
 *      └──── wait with jitter ◀── refused, error, time-out, a beat without echo ◀──┘
 *
 * While it is UP commands are sent as they come, in order. What is sent and not answered when the server
 * goes AWAY is answered with NULL, once: nobody can say what became of it. Once a second a beat is sent:
 * the beat script tells the heads of the partitions that the node has joined, in a message to the node's own
 * channel, so that it comes behind everything that was published before; no echo means that Pub/Sub is deaf.
 * The relay's thread.
 */
#ifndef FT_RELAY_SERVER_H
#define FT_RELAY_SERVER_H

#include "protocol/slice.h"

struct ft_relay;
struct ft_server;
struct redisReply;

enum ft_server_state { FT_SERVER_AWAY, FT_SERVER_GREETING, FT_SERVER_UP };

/*
 * Called with what Redis answers, lent for the call; NULL: the connection was lost before. An error of Redis
 * is a reply of type REDIS_REPLY_ERROR, and is the callee's to understand. NOSCRIPT: nothing was done, the
 * scripts are on their way to Redis again, and the same command, sent again now, comes behind them.
 * A reply of more than 64 MiB or a million elements is the end of the connection: read large things in parts.
 */
typedef void (*ft_reply_fn)(void *context, const struct redisReply *reply);

/* Says whether a reply is an error that begins with this code, whether a script has met it or not. */
bool ft_reply_is_error(const struct redisReply *reply, const char *code);

enum ft_server_state ft_server_state(const struct ft_server *server);

/* Names the life of the server that the connections lead to; empty: it is not known. See info.h. */
const char *ft_server_life(const struct ft_server *server);

/* Sends one command that is whole in Redis' protocol (relay/command.h); its bytes are copied, and leave with
 * those of the whole turn. Returns false, and never calls `fn`, where the server is not UP. */
bool ft_server_send(struct ft_server *server, struct ft_slice command, ft_reply_fn fn,
                    void *context);

/* Bytes that were sent and that the socket has not taken yet: who sends much waits while these are many. */
size_t ft_server_unsent(const struct ft_server *server);

/* Commands that were sent and not answered. */
uint32_t ft_server_in_flight(const struct ft_server *server);

/* How often its connection was given up because an answer was too large. Who had asked for it then, and was
 * answered with NULL, asks for less. */
uint32_t ft_server_floods(const struct ft_server *server);

/* Subscribes to a channel, or lets it go, as long as the server is UP; whoever wants it does so again when it
 * comes back. Does nothing, and never calls `confirmed`, where it is not UP. `confirmed` (NULL: nobody wants
 * to know) is called with NULL where the connection was lost before, and with an error where Redis refuses.
 * Messages go to ft_relay_message(). */
void ft_server_subscribe(struct ft_server *server, struct ft_slice channel, ft_reply_fn confirmed,
                         void *context);
void ft_server_unsubscribe(struct ft_server *server, struct ft_slice channel);

/* The same for a pattern. Messages go to ft_relay_message(), with the channel that they were sent to. */
void ft_server_psubscribe(struct ft_server *server, struct ft_slice pattern);
void ft_server_punsubscribe(struct ft_server *server, struct ft_slice pattern);

/* Gives the connections up: something is wrong with them. They are made again. The server is AWAY at once;
 * what was in flight is answered with NULL, and others are told, at the end of the turn. */
void ft_server_reset(struct ft_server *server, const char *why);

#endif
