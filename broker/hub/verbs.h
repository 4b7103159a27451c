/* The operations that a client may send: one file each (on_sub.c, on_pub.c, …), one table. */
#ifndef FT_HUB_VERBS_H
#define FT_HUB_VERBS_H

#include "broker/hub/session.h"
#include "protocol/topic.h"

/* Carries out one envelope of `session`. On failure it returns an error with `problem` filled, and
 * has changed nothing; the caller replies. Success replies itself, where there is an id. Where it has to wait
 * (stall.h) it has changed nothing either, and is called with the same envelope again. */
typedef enum ft_err (*ft_verb)(struct ft_session *session, const struct ft_envelope *envelope,
                               struct ft_problem *problem);

enum ft_err ft_on_sub(struct ft_session *session, const struct ft_envelope *envelope,
                      struct ft_problem *problem);
enum ft_err ft_on_unsub(struct ft_session *session, const struct ft_envelope *envelope,
                        struct ft_problem *problem);
enum ft_err ft_on_pub(struct ft_session *session, const struct ft_envelope *envelope,
                      struct ft_problem *problem);
enum ft_err ft_on_history(struct ft_session *session, const struct ft_envelope *envelope,
                          struct ft_problem *problem);
enum ft_err ft_on_presence(struct ft_session *session, const struct ft_envelope *envelope,
                           struct ft_problem *problem);
enum ft_err ft_on_auth(struct ft_session *session, const struct ft_envelope *envelope,
                       struct ft_problem *problem);
enum ft_err ft_on_ping(struct ft_session *session, const struct ft_envelope *envelope,
                       struct ft_problem *problem);

/* Checks that `topics` is there and holds valid filters only, one or more. */
enum ft_err ft_check_filters(const struct ft_envelope *envelope, struct ft_problem *problem);

/* Reads the next of those filters into `text` and lends it. Start with `*at` = 0. */
struct ft_slice ft_next_filter(const struct ft_envelope *envelope, size_t *at,
                               uint8_t text[FT_TOPIC_BYTES_MAX]);

/* Says whether a session has read its answers so far that it may have another one, which takes ten thousand
 * times as much as the request. */
FT_MUST_USE enum ft_err ft_check_answers(const struct ft_session *session,
                                         struct ft_problem *problem);

/* Sends a large answer at once and not at the end of the turn: a message may ask for a thousand. Where the socket
 * is full, this also stops reading the next message. */
void ft_flush_answers(struct ft_session *session);

/* Reads a whole message of `session` and carries out its envelopes, in order; or those that are left of one. */
void ft_handle_message(struct ft_session *session, struct ft_slice message);
void ft_handle_envelopes(struct ft_session *session, struct ft_reader *reader);

#endif
