/*
 * The memory of the journal: chunks that publications are laid into one behind the other, and that are used again
 * when nobody can look into them any more.
 *
 *     open, one a writer ─▶ sealed ─▶ limbo ─▶ spare, or given back
 *                              all dropped  every reader has rested since
 *
 * The caller keeps a lock, but for what is atomic and for a writer's open chunk.
 */
#ifndef FT_CORE_CHUNKS_H
#define FT_CORE_CHUNKS_H

#include "broker/core/publication.h"

struct ft_chunk {
    struct ft_chunk *next_;
    uint64_t last_offset; /* of the publications in it that were numbered */
    uint64_t epoch_;      /* in limbo: free once every reader has seen this epoch */
    size_t size, used;
    uint32_t pending;             /* built, not yet numbered */
    _Atomic uint64_t other_bytes; /* of further frames that hang off publications in it */
    _Alignas(8) uint8_t bytes[];
};

/* A list with a tail: chunks leave in the order in which they came. */
struct ft_chunk_list {
    struct ft_chunk *first, **last;
};

struct ft_chunks {
    size_t chunk_bytes;
    _Atomic uint64_t epoch;
    _Atomic uint64_t other_bytes; /* of all further frames; they come without the lock */
    struct ft_chunk_list sealed_, limbo_;
    struct ft_chunk *spare_;
    uint32_t spares_, count; /* in memory, those in limbo included */
};

void ft_chunks_init(struct ft_chunks *chunks, size_t chunk_bytes);
void ft_chunks_fini(struct ft_chunks *chunks);

/* Returns the chunk that a publication lies in. */
static inline struct ft_chunk *ft_chunk_of(const struct ft_publication *p)
{
    return (struct ft_chunk *)((uintptr_t)p - p->place_ - offsetof(struct ft_chunk, bytes));
}

/* Takes an empty one with room for `size` bytes. */
struct ft_chunk *ft_chunks_take(struct ft_chunks *chunks, size_t size);

/* Takes a writer's chunk (or NULL), into which nothing more is laid. */
void ft_chunks_seal(struct ft_chunks *chunks, struct ft_chunk *chunk);

/* Puts chunks whose publications were all dropped into limbo, and says whether there is any. */
bool ft_chunks_drop(struct ft_chunks *chunks, uint64_t tail);

/* Uses those again whose epoch every reader that is awake has seen. */
void ft_chunks_reuse(struct ft_chunks *chunks, uint64_t seen);

#endif
