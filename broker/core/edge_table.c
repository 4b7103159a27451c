/*
 * The table of the trie's edges: linear probing, removal by shifting back (no tombstones, so that a
 * table that churns stays as fast as a fresh one). Owned by one trie, hence one thread.
 */
#include "broker/core/edge_table.h"

#include <stdlib.h>

#include "broker/base/alloc.h"

/* The smallest table: 1 KiB, enough for a broker with a few dozen filters. */
#define FIRST_BITS 7

/* Grow above three quarters: 8-byte slots, so a probe of average length stays within two lines.
 * Shrink below an eighth, which leaves a wide gap between the two. */
static inline uint32_t most_edges(uint32_t slots)
{
    return slots - slots / 4;
}

static inline uint32_t least_edges(uint32_t slots)
{
    return slots / 8;
}

static void set_size(struct ft_edge_table *table, uint32_t bits)
{
    uint32_t slots = UINT32_C(1) << bits;
    table->slots_ = ft_alloc_zero(slots * sizeof(*table->slots_));
    table->mask_ = slots - 1;
    table->shift_ = 32 - bits;
}

void ft_edge_table_init(struct ft_edge_table *table)
{
    table->count = 0;
    set_size(table, FIRST_BITS);
}

void ft_edge_table_fini(struct ft_edge_table *table)
{
    free(table->slots_);
    table->slots_ = NULL;
}

static void put(struct ft_edge_table *table, struct ft_edge edge)
{
    uint32_t at = ft_edge_table_home(table, edge.hash);
    while (table->slots_[at].child != 0)
        at = (at + 1) & table->mask_;
    table->slots_[at] = edge;
}

static void resize(struct ft_edge_table *table, uint32_t bits)
{
    struct ft_edge *old = table->slots_;
    uint32_t old_slots = table->mask_ + 1;
    set_size(table, bits);
    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i].child != 0)
            put(table, old[i]);
    free(old);
}

void ft_edge_table_add(struct ft_edge_table *table, uint32_t hash, uint32_t child)
{
    if (table->count >= most_edges(table->mask_ + 1)) {
        FT_ASSERT(table->shift_ > 1); /* 2^31 slots: far past what the node indexes allow */
        resize(table, 32 - table->shift_ + 1);
    }
    put(table, (struct ft_edge){.hash = hash, .child = child});
    table->count++;
}

/* Closes the hole at `hole`: moves back each edge behind it whose home is not past the hole. */
static void shift_back(struct ft_edge_table *table, uint32_t hole)
{
    uint32_t mask = table->mask_;
    struct ft_edge *slots = table->slots_;
    for (uint32_t at = (hole + 1) & mask; slots[at].child != 0; at = (at + 1) & mask) {
        uint32_t from_home = (at - ft_edge_table_home(table, slots[at].hash)) & mask;
        uint32_t from_hole = (at - hole) & mask;
        if (from_home < from_hole)
            continue;
        slots[hole] = slots[at];
        hole = at;
    }
    slots[hole] = (struct ft_edge){0};
}

void ft_edge_table_remove(struct ft_edge_table *table, uint32_t hash, uint32_t child)
{
    uint32_t at = ft_edge_table_home(table, hash);
    while (table->slots_[at].child != child) {
        FT_ASSERT(table->slots_[at].child != 0);
        at = (at + 1) & table->mask_;
    }
    shift_back(table, at);
    table->count--;

    uint32_t bits = 32 - table->shift_;
    if (bits > FIRST_BITS && table->count < least_edges(table->mask_ + 1))
        resize(table, bits - 1);
}

size_t ft_edge_table_bytes(const struct ft_edge_table *table)
{
    return ((size_t)table->mask_ + 1) * sizeof(*table->slots_);
}
