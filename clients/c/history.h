/*
 * Requests for a topic's past that have not ended. Reading can be repeated, so what a break has left
 * without an answer is asked for again. Writes envelopes, does not send them. The client's thread.
 */
#ifndef FT_CLIENT_HISTORY_H
#define FT_CLIENT_HISTORY_H

#include "clients/c/fantail.h"
#include "protocol/buffer.h"
#include "protocol/encoding.h"
#include "protocol/error.h"

/* Requests of one client that wait, each with its topic. */
#define FT_HISTORIES_MAX 1024

/* Ids of these requests on the wire: "h" and a number. */
#define FT_HISTORY_ID 'h'

struct ft_histories {
    struct fantail *client_;
    struct ft_history_request *all_;
    uint64_t last_request_;
    size_t count;    /* that have not ended */
    size_t unasked_; /* of them, those to ask for */
};

void ft_histories_init(struct ft_histories *histories, struct fantail *client);

/* Forgets what is left, without a word. */
void ft_histories_fini(struct ft_histories *histories);

/* Adds a request to ask for. FT_ERR_BAD_TOPIC, FT_ERR_BAD_FIELD or FT_ERR_TOO_MANY say why not. */
FT_MUST_USE enum ft_err ft_histories_add(struct ft_histories *histories, const char *topic,
                                         const struct fantail_history_options *options,
                                         fantail_history_fn *done, struct ft_problem *problem);

/* Appends the next request to `envelope`; false: there is none. */
bool ft_histories_ask(struct ft_histories *histories, enum ft_encoding encoding,
                      struct ft_buffer *envelope);

/* Everything that was asked for must be asked for again. */
void ft_histories_break(struct ft_histories *histories);

/*
 * The broker answered: `answer` holds everything but the messages, which are still the array that
 * came. False when there is no such request.
 */
bool ft_histories_answer(struct ft_histories *histories, struct ft_slice id,
                         const struct fantail_history *answer, enum ft_encoding encoding,
                         struct ft_slice messages);

/* Ends all of them with FANTAIL_UNAVAILABLE. */
void ft_histories_end_all(struct ft_histories *histories);

#endif
