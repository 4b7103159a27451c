/*
 * Publishing where several nodes are one broker. What a worker takes in during a turn gathers in batches, one
 * for each partition, which the relay brings to Redis; what became of it comes back as a letter:
 *
 *     ft_publish ─▶ open batch ─▶ end of the turn ─▶ ft_relay_ops.publish ─▶ … ─▶ letter ─▶ askers
 *
 * A publication of a stored topic is journaled only when it comes back on its partition's channel. One of an
 * ephemeral topic is journaled here at once, and told to the other nodes by a batch that nobody answers.
 * The worker's thread.
 */
#ifndef FT_HUB_OUTGOING_H
#define FT_HUB_OUTGOING_H

#include "broker/hub/asker.h"

struct ft_open_batches;
struct ft_publication_spec;

/* A batch is handed over when it has so many entries, or bytes of them; a larger one travels alone. */
#define FT_OUTGOING_COUNT 512
#define FT_OUTGOING_BYTES ((size_t)64 * 1024)

/* Makes what a worker gathers in. Free it when nothing is taken in any more: what is in it is lost. */
struct ft_open_batches *ft_open_batches_new(struct ft_worker *worker);
void ft_open_batches_free(struct ft_open_batches *open); /* NULL is allowed */

/*
 * Takes a publication of a stored topic in; `spec` is that of ft_worker_publish(), id and key are those of
 * `envelope`. FT_ERR_UNAVAILABLE: so much waits for Redis already that there is no room. When there is little,
 * the asker is held.
 */
FT_MUST_USE enum ft_err ft_outgoing_publish(struct ft_asker *asker,
                                            const struct ft_envelope *envelope,
                                            const struct ft_publication_spec *spec,
                                            struct ft_problem *problem);

/* Tells the other nodes of an ephemeral publication, which the journal has taken. */
void ft_outgoing_tell(struct ft_worker *worker, const struct ft_publication *publication);

/* Publishes something of the broker's own, ephemeral, on all nodes: a topic that begins with '$', and a JSON
 * value. Also on a node on its own. */
void ft_outgoing_announce(struct ft_worker *worker, struct ft_slice topic, struct ft_slice json);

/* Hands over what is in the open batches. */
void ft_outgoing_hand_over(struct ft_worker *worker);

/* Says whether more than half of what may wait for Redis does. */
bool ft_outgoing_is_crowded(const struct ft_worker *worker);

/* The asker goes: nobody is told what becomes of its publishes. */
void ft_outgoing_forget(struct ft_asker *asker);

#endif
