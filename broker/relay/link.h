/*
 * One connection to a Redis server, on the loop of the relay: resolves, connects, writes commands, reads
 * replies with hiredis' reader, and gives each to who asked, in order. hiredis' own asynchronous side is not
 * used: it resolves names while everybody waits, asserts that a server behaves, has no bounds, and its adapter
 * for libuv never tells of a refused connection.
 *
 *     ft_link_send … ft_link_send ─▶ out ─▶ ft_link_flush: one write at the end of a turn
 *     one read a turn ─▶ reader ─▶ sift (messages) or the oldest of `asked`
 *
 * Once something is wrong the owner is told, once, and nothing more comes; the owner calls ft_link_close()
 * later, not within a call from here. The relay's thread.
 */
#ifndef FT_RELAY_LINK_H
#define FT_RELAY_LINK_H

#include "broker/relay/server.h"
#include "broker/relay/url.h"

#include <uv.h>

/* A reply or message that grows beyond this is not waited for. */
#define FT_LINK_REPLY_MAX ((size_t)64 << 20)

/* Elements of one array, at any depth. */
#define FT_LINK_ELEMENTS_MAX (1 << 20)

/* Room for the reason that a link was lost for, NUL included. */
#define FT_LINK_WHY_MAX 200

struct ft_link;

struct ft_link_ops {
    /* An event has come: what follows is called because of it. */
    void (*enter)(void *owner);

    /* The connection is there. */
    void (*opened)(void *owner, struct ft_link *link);

    /* A reply has come. Returns true where it is a message, which answers no command. */
    bool (*sift)(void *owner, struct ft_link *link, const struct redisReply *reply);

    /* It is over; may come within ft_link_new(), too. */
    void (*lost)(void *owner, struct ft_link *link, const char *why);
};

/* Begins to connect. `unsent_max`: more than that waiting to be written is the end of the link. */
struct ft_link *ft_link_new(uv_loop_t *loop, const struct ft_redis_url *url, size_t unsent_max,
                            const struct ft_link_ops *ops, void *owner);

/* Closes it, and answers with NULL what is not answered. */
void ft_link_close(struct ft_link *link);

/* Nothing comes from it any more. */
void ft_link_mute(struct ft_link *link);

/* Reads what has come before the link was muted, and passes it on: the last answers and messages of a server
 * that ends. */
void ft_link_drain(struct ft_link *link);

/* Adds a command to what will be written; its reply goes to `fn` (NULL: nobody wants it). */
void ft_link_send(struct ft_link *link, struct ft_slice command, ft_reply_fn fn, void *context);

/* Writes what there is, as far as the socket takes it. */
void ft_link_flush(struct ft_link *link);

/* Stops reading, and goes on. */
void ft_link_pause(struct ft_link *link, bool is_paused);

/* Counts the calls since the link has had something to wait for and nothing came; so a loop that was held up
 * itself does not blame the other side. To be called at equal intervals. */
uint32_t ft_link_tick(struct ft_link *link);

size_t ft_link_unsent(const struct ft_link *link);
uint32_t ft_link_in_flight(const struct ft_link *link);

/* Says whether it is over because what came at once was too large. */
bool ft_link_is_flooded(const struct ft_link *link);

#endif
