/*
 * Chunks of memory, in the order in which they come and go. Does not know readers: which epoch all of them have
 * seen the journal says.
 */
#include "broker/core/chunks.h"

#include "broker/base/alloc.h"

#include <stdlib.h>

/* Chunks kept for reuse, so that a journal in its stride takes no memory from the system. */
#define SPARE_CHUNKS 8

static void list_init(struct ft_chunk_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static void list_push(struct ft_chunk_list *list, struct ft_chunk *chunk)
{
    chunk->next_ = NULL;
    *list->last = chunk;
    list->last = &chunk->next_;
}

static struct ft_chunk *list_pop(struct ft_chunk_list *list)
{
    struct ft_chunk *chunk = list->first;
    list->first = chunk->next_;
    if (!list->first)
        list->last = &list->first;
    return chunk;
}

void ft_chunks_init(struct ft_chunks *c, size_t chunk_bytes)
{
    *c = (struct ft_chunks){.chunk_bytes = chunk_bytes};
    atomic_init(&c->epoch, 1);
    list_init(&c->sealed_);
    list_init(&c->limbo_);
}

/* Frees the further frames that hang off a chunk's publications. */
static void chunk_fini(struct ft_chunks *c, struct ft_chunk *chunk)
{
    uint64_t other = atomic_load_explicit(&chunk->other_bytes, memory_order_relaxed);
    if (other == 0)
        return;
    for (size_t at = 0; at < chunk->used;) {
        struct ft_publication *p = (struct ft_publication *)(chunk->bytes + at);
        at += p->size_;
        ft_publication_fini(p);
    }
    atomic_fetch_sub_explicit(&c->other_bytes, other, memory_order_relaxed);
}

static void free_all(struct ft_chunks *c, struct ft_chunk_list *list)
{
    while (list->first) {
        struct ft_chunk *chunk = list_pop(list);
        chunk_fini(c, chunk);
        free(chunk);
    }
}

void ft_chunks_fini(struct ft_chunks *c)
{
    free_all(c, &c->sealed_);
    free_all(c, &c->limbo_);
    while (c->spare_) {
        struct ft_chunk *chunk = c->spare_;
        c->spare_ = chunk->next_;
        free(chunk);
    }
}

struct ft_chunk *ft_chunks_take(struct ft_chunks *c, size_t size)
{
    struct ft_chunk *chunk = c->spare_;
    if (chunk && size <= c->chunk_bytes) {
        c->spare_ = chunk->next_;
        c->spares_--;
    } else {
        size_t room = size > c->chunk_bytes ? size : c->chunk_bytes;
        chunk = ft_alloc(sizeof(*chunk) + room);
        chunk->size = room;
        c->count++;
    }
    chunk->next_ = NULL;
    chunk->used = 0;
    chunk->pending = 0;
    chunk->last_offset = 0;
    atomic_store_explicit(&chunk->other_bytes, 0, memory_order_relaxed);
    return chunk;
}

void ft_chunks_seal(struct ft_chunks *c, struct ft_chunk *chunk)
{
    if (chunk)
        list_push(&c->sealed_, chunk);
}

bool ft_chunks_drop(struct ft_chunks *c, uint64_t tail)
{
    while (c->sealed_.first && c->sealed_.first->pending == 0 &&
           c->sealed_.first->last_offset <= tail) {
        struct ft_chunk *chunk = list_pop(&c->sealed_);
        /* Sequentially consistent, like the reader's store in ft_journal_wake(): either we see the
         * reader awake, or it sees the tail that hides this chunk's publications. */
        chunk->epoch_ = atomic_fetch_add_explicit(&c->epoch, 1, memory_order_seq_cst) + 1;
        list_push(&c->limbo_, chunk);
    }
    return c->limbo_.first != NULL;
}

static void retire(struct ft_chunks *c, struct ft_chunk *chunk)
{
    chunk_fini(c, chunk);
    if (chunk->size == c->chunk_bytes && c->spares_ < SPARE_CHUNKS) {
        chunk->next_ = c->spare_;
        c->spare_ = chunk;
        c->spares_++;
        return;
    }
    c->count--;
    free(chunk);
}

void ft_chunks_reuse(struct ft_chunks *c, uint64_t seen)
{
    while (c->limbo_.first && c->limbo_.first->epoch_ <= seen)
        retire(c, list_pop(&c->limbo_));
}
