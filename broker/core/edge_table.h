/*
 * The edges of the topic trie, all in one open-addressing table: from a hash of "this parent, this
 * level" to the index of the child. Knows hashes only; whoever looks up compares the child itself,
 * so two edges with one hash are no trouble.
 *
 * The top bits of the hash are an edge's home slot; it stands there or behind, with no empty slot in
 * between. Because the top bits rule, a table that grows or shrinks is copied nearly in order.
 */
#ifndef FT_CORE_EDGE_TABLE_H
#define FT_CORE_EDGE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct ft_edge {
    uint32_t hash;
    uint32_t child; /* 0: the slot is empty (0 is the root, which is nobody's child) */
};

struct ft_edge_table {
    struct ft_edge *slots_;
    uint32_t mask_;  /* slots - 1; a power of two less one */
    uint32_t shift_; /* 32 - log2(slots) */
    uint32_t count;
};

void ft_edge_table_init(struct ft_edge_table *table);
void ft_edge_table_fini(struct ft_edge_table *table);

/* Adds an edge. Amortized constant time; twice the table is copied now and then. */
void ft_edge_table_add(struct ft_edge_table *table, uint32_t hash, uint32_t child);

/* Removes the edge to `child`, which is in the table under `hash`. */
void ft_edge_table_remove(struct ft_edge_table *table, uint32_t hash, uint32_t child);

/* Bytes of memory held. */
size_t ft_edge_table_bytes(const struct ft_edge_table *table);

/* Returns the slot at which the search for a hash starts. */
static inline uint32_t ft_edge_table_home(const struct ft_edge_table *table, uint32_t hash)
{
    return hash >> table->shift_;
}

/* Asks the memory for the slot of a hash that will be looked up soon. */
static inline void ft_edge_table_prefetch(const struct ft_edge_table *table, uint32_t hash)
{
    __builtin_prefetch(&table->slots_[ft_edge_table_home(table, hash)]);
}

/* Returns the next child under `hash`, 0 after the last. `*at` starts as the hash's home. */
static inline uint32_t ft_edge_table_next(const struct ft_edge_table *table, uint32_t hash,
                                          uint32_t *at)
{
    for (;;) {
        struct ft_edge edge = table->slots_[*at];
        if (edge.child == 0)
            return 0;
        *at = (*at + 1) & table->mask_;
        if (edge.hash == hash)
            return edge.child;
    }
}

#endif
