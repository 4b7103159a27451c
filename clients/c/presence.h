/*
 * Requests for who is present that have not ended. What a break has left without an answer is asked
 * for again. Writes envelopes, does not send them. The client's thread.
 */
#ifndef FT_CLIENT_PRESENCE_H
#define FT_CLIENT_PRESENCE_H

#include "clients/c/fantail.h"
#include "protocol/buffer.h"
#include "protocol/encoding.h"
#include "protocol/error.h"

/* Requests of one client that wait, each with its topic. */
#define FT_PRESENCES_MAX 64

/* Ids of these requests on the wire: "p" and a number. */
#define FT_PRESENCE_ID 'p'

struct ft_client_presences {
    struct fantail *client_;
    struct ft_presence_request *all_;
    uint64_t last_request_;
    size_t count;    /* that have not ended */
    size_t unasked_; /* of them, those to ask for */
};

void ft_client_presences_init(struct ft_client_presences *presences, struct fantail *client);

/* Forgets what is left, without a word. */
void ft_client_presences_fini(struct ft_client_presences *presences);

/* Adds a request to ask for. FT_ERR_BAD_TOPIC or FT_ERR_TOO_MANY say why not. */
FT_MUST_USE enum ft_err ft_client_presences_add(struct ft_client_presences *presences,
                                                const char *topic, fantail_presence_fn *done,
                                                void *user, struct ft_problem *problem);

/* Appends the next request to `envelope`; false: there is none. */
bool ft_client_presences_ask(struct ft_client_presences *presences, enum ft_encoding encoding,
                             struct ft_buffer *envelope);

/* Everything that was asked for must be asked for again. */
void ft_client_presences_break(struct ft_client_presences *presences);

/*
 * The broker answered with `result`, in the envelope with this id of `message`. False when there is no
 * such request.
 */
bool ft_client_presences_answer(struct ft_client_presences *presences, struct ft_slice id,
                                const struct fantail_result *result, enum ft_encoding encoding,
                                struct ft_slice message);

/* Ends all of them with FANTAIL_UNAVAILABLE. */
void ft_client_presences_end_all(struct ft_client_presences *presences);

#endif
