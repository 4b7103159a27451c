/*
 * The newest publication of each topic: what a subscriber gets who wants one of each and not all.
 *
 *     put: topic A at 5, B at 6, A at 9   ─▶   take: 6, 9
 *
 * A topic is the hash of its text (ft_hash() with the process's keys: peers choose topics). Nothing
 * is compared, so two topics with one hash would count as one; nobody can bring that about on purpose
 * and 64 bits do not bring it about by chance.
 *
 * Has no ceiling of its own: whoever puts looks at `count` and `bytes` and stops in time.
 */
#ifndef FT_CORE_CONFLATION_H
#define FT_CORE_CONFLATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ft_conflation_slot;

/* Embedded; all zero is an empty one that holds no memory. */
struct ft_conflation {
    struct ft_conflation_slot *slots_; /* NULL until the first put */
    uint32_t bits_;                    /* log2 of the slots */
    uint32_t lent_;                    /* offsets at the beginning of `slots_`, in place of slots */
    uint32_t count;                    /* topics */
    uint64_t bytes;                    /* of the newest publication of each, together */
};

void ft_conflation_init(struct ft_conflation *conflation);
void ft_conflation_fini(struct ft_conflation *conflation);

/* Notes a publication of a topic, `bytes` long, by its offset (never 0). The greatest offset of a
 * topic counts, whatever the order. Amortized constant time. */
void ft_conflation_put(struct ft_conflation *conflation, uint64_t topic_hash, uint64_t offset,
                       uint32_t bytes);

/* Says whether something of this topic is in it. */
bool ft_conflation_has(const struct ft_conflation *conflation, uint64_t topic_hash);

/*
 * Empties it. Sets `*offsets` to what was in it, in ascending order, lent until the next call with
 * this conflation, and returns how many there are. A small table is kept for the next round; a large
 * one is freed by that next call, so an ft_conflation_clear() after use gives it back at once.
 */
uint32_t ft_conflation_take(struct ft_conflation *conflation, const uint64_t **offsets);

/* Empties it and gives a large table back. */
void ft_conflation_clear(struct ft_conflation *conflation);

/* Returns the bytes of memory held, the struct itself not included. */
size_t ft_conflation_bytes(const struct ft_conflation *conflation);

#endif
