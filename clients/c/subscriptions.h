/*
 * The subscriptions of a client: which are known to the broker, which must be asked for (again), how
 * far each has come, and whose handlers a delivery goes to.
 *
 *     new ──▶ asked ──▶ live          the connection breaks: asked ─▶ new, live ─▶ stale
 *              │ ▲                    stale ones are asked for together, one request per `every`,
 *              ▼ └── stale            and go on where they were
 *           refused
 *
 * For what was live the broker is asked, in one `sub`, for everything after the position that all of
 * it had reached. New ones follow last, and start live. Where two requests are needed (another `every`,
 * or more filters than fit into a message) each names positions of its own:
 *
 * - None of them moves on by what comes for the other before it is answered.
 * - The broker brings a publication once, by the first filter that resumes with it. So a delivery goes
 *   at once to all that it is for, those included whose answer is still due; and what one of them has
 *   had, all of them have.
 * - What `every` holds back comes later than what others of the session get. The broker keeps the order
 *   of offsets among those with one `every`, and lets the shortest have what several match; so a
 *   delivery moves on those with the shortest `every` of all that it is for, and nobody else.
 *
 * Writes envelopes, does not send them. The client's thread.
 */
#ifndef FT_CLIENT_SUBSCRIPTIONS_H
#define FT_CLIENT_SUBSCRIPTIONS_H

#include "clients/c/fantail.h"
#include "clients/c/positions.h"
#include "clients/c/routes.h"
#include "protocol/buffer.h"
#include "protocol/encoding.h"
#include "protocol/error.h"

/* Filters of one client, doubles counted once. A broker allows 1,024 unless told otherwise. */
#define FT_SUBSCRIPTION_FILTERS_MAX 65536

/* Ids of these requests on the wire: "s" and a number, so that they never meet a publication's. */
#define FT_SUBSCRIPTION_ID 's'

struct ft_progress;

/* What there is to say about a resume that is under way. */
enum ft_resume { FT_RESUME_NONE, FT_RESUME_ASKED, FT_RESUME_TOLD };

struct ft_subscriptions {
    struct fantail *client_;
    void (*on_resume_)(struct fantail *f, bool is_recovered);
    struct ft_routes *routes_;
    struct fantail_subscription *all_;
    uint64_t last_request_;
    unsigned busy_; /* handlers are running: what is removed is freed later */
    bool has_removed_;
    size_t waiting; /* subscriptions to ask for */

    /* this connection */
    enum ft_resume resume_;
    unsigned requests_, replays_; /* `sub`s, and those of them with `since` */
    uint64_t replay_ms_;          /* when the last of these was asked for */
    struct ft_progress *plain_;   /* of the subscriptions that started live */
};

/* `on_resume` is called once for each connection that finds subscriptions of an earlier one: as soon
 * as something is known to be missing, else once all of them are answered. */
void ft_subscriptions_init(struct ft_subscriptions *subscriptions, struct fantail *client,
                           void (*on_resume)(struct fantail *f, bool is_recovered));
void ft_subscriptions_fini(struct ft_subscriptions *subscriptions);

/* Adds a subscription to ask for. FT_ERR_BAD_FILTER, FT_ERR_BAD_FIELD (no filter at all, or a `since`
 * that is no position) or FT_ERR_TOO_MANY say why not. */
FT_MUST_USE enum ft_err ft_subscriptions_add(struct ft_subscriptions *subscriptions,
                                             const char *const *filters, size_t n,
                                             const struct fantail_subscribe_options *options,
                                             fantail_message_fn *handler, void *user,
                                             struct fantail_subscription **subscription,
                                             struct ft_problem *problem);

/* Removes one. Appends to `envelope` the `unsub` of the filters that the broker knows and nobody
 * needs any more; nothing where there are none. */
void ft_subscriptions_remove(struct ft_subscriptions *subscriptions,
                             struct fantail_subscription *subscription, enum ft_encoding encoding,
                             struct ft_buffer *envelope);

/* Everything that was asked for must be asked for again. */
void ft_subscriptions_break(struct ft_subscriptions *subscriptions);

/*
 * Appends to `envelope` the next `sub` that is due, of at most about `max` bytes where it puts
 * several subscriptions together, and says whether there was one.
 */
bool ft_subscriptions_ask(struct ft_subscriptions *subscriptions, uint64_t now_ms, size_t max,
                          enum ft_encoding encoding, struct ft_buffer *envelope);

/* Returns when the next one is due that waits for a time that the broker named; 0 for none. */
uint64_t ft_subscriptions_due_ms(const struct ft_subscriptions *subscriptions);

/*
 * The broker answered a request; `starts` are the positions in its `ok`. Tells those who asked; what
 * has nobody to tell is given to `on_error`. False when there is no such request.
 */
bool ft_subscriptions_answer(struct ft_subscriptions *subscriptions, struct ft_slice id,
                             const struct fantail_result *result, const struct ft_positions *starts,
                             uint64_t now_ms,
                             void (*on_error)(struct fantail *f, const struct fantail_result *r));

/* The broker has ended the subscription to a filter: those that are in force are not asked for again with
 * it, or not at all where it was their last one. */
void ft_subscriptions_end(struct ft_subscriptions *subscriptions, struct ft_slice filter);

/* Gives a delivery to every handler that it is for and that has not had it; `unhandled` gets it once
 * for all subscriptions that have none. */
void ft_subscriptions_deliver(struct ft_subscriptions *subscriptions,
                              const struct fantail_message *message, fantail_message_fn *unhandled,
                              void *user);

/* The broker said that what is missing up to these positions will not come. */
void ft_subscriptions_skip(struct ft_subscriptions *subscriptions,
                           const struct ft_positions *positions);

/* Positions of one subscription: what fantail.h says of fantail_position(). */
size_t ft_subscription_position_count(const struct fantail_subscription *subscription);
size_t ft_subscription_position(const struct fantail_subscription *subscription, size_t n,
                                char *out, size_t size);

#endif
