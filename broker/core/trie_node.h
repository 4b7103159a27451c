/*
 * The nodes of the topic trie and the pool that they live in. A node is 32 bytes, two to a cache
 * line, never across two; it never moves while it lives. Nodes name each other by index, half the
 * size of a pointer; slabs of nodes are freed as they run empty.
 *
 *     slabs_ ──▶ [ slab 0 ][ slab 1 ][ freed ][ slab 3 ]      index = slab * 4096 + place
 *                   │
 *                   └▶ | header | node | node | … |
 */
#ifndef FT_CORE_TRIE_NODE_H
#define FT_CORE_TRIE_NODE_H

#include "broker/core/topic_trie.h"
#include "protocol/slice.h"

/* Level texts up to this length stand in the node itself. */
#define FT_TRIE_INLINE_TEXT 15

/* Several subscribers of one filter. */
struct ft_trie_array {
    uint32_t count;
    uint32_t cap; /* a power of two */
    struct ft_trie_sub *subs[];
};

struct ft_trie_node {
    uint32_t parent;
    uint32_t literals : 30; /* children that are not wildcards */
    uint32_t has_plus : 1;
    uint32_t has_hash : 1;
    union {
        struct ft_trie_sub *one; /* NULL: nobody is under this filter */
        uintptr_t array_bits;    /* the lowest bit set: a struct ft_trie_array, one byte on */
    } subs;
    uint8_t text[FT_TRIE_INLINE_TEXT]; /* or, of a longer one, a pointer to it */
    uint8_t text_len;
};

_Static_assert(sizeof(struct ft_trie_node) == 32, "two nodes fill one cache line");

#define FT_TRIE_SLAB_BITS  12
#define FT_TRIE_SLAB_NODES (1u << FT_TRIE_SLAB_BITS)

struct ft_trie_slab {
    uint32_t number;
    uint32_t live;                    /* nodes in use */
    uint32_t fresh;                   /* nodes from here on were never used */
    uint32_t first_free;              /* places + 1, linked through `parent`; 0: none */
    struct ft_trie_slab *next, *prev; /* slabs with room */
    uint8_t padding_[32];             /* nodes start on a cache line */
    struct ft_trie_node nodes[FT_TRIE_SLAB_NODES];
};

struct ft_trie_pool {
    struct ft_trie_slab **slabs_; /* NULL where one was freed */
    uint32_t slab_count_, slab_cap_;
    uint32_t live_slabs_;
    struct ft_trie_slab *with_room_;
    size_t outside_bytes_; /* arrays and long texts */
};

void ft_trie_pool_init(struct ft_trie_pool *pool);

/* Frees the slabs with everything that nodes in them hold. */
void ft_trie_pool_fini(struct ft_trie_pool *pool);

/* Returns the index of a new node with this text, no children and no subscribers. The very first is
 * 0. */
uint32_t ft_trie_pool_take(struct ft_trie_pool *pool, uint32_t parent, struct ft_slice text);

/* Gives a node back that holds no subscribers. */
void ft_trie_pool_give_back(struct ft_trie_pool *pool, uint32_t index);

/* Bytes of memory held. */
size_t ft_trie_pool_bytes(const struct ft_trie_pool *pool);

/* Puts `sub` under the node, or takes it out; both set what `sub` knows of its place. */
void ft_trie_node_add(struct ft_trie_pool *pool, struct ft_trie_node *node,
                      struct ft_trie_sub *sub);
void ft_trie_node_remove(struct ft_trie_pool *pool, struct ft_trie_node *node,
                         struct ft_trie_sub *sub);

static inline struct ft_trie_node *ft_trie_pool_at(const struct ft_trie_pool *pool, uint32_t index)
{
    return &pool->slabs_[index >> FT_TRIE_SLAB_BITS]->nodes[index & (FT_TRIE_SLAB_NODES - 1)];
}

static inline struct ft_slice ft_trie_node_text(const struct ft_trie_node *node)
{
    if (node->text_len <= FT_TRIE_INLINE_TEXT)
        return ft_slice(node->text, node->text_len);
    const uint8_t *outside;
    memcpy(&outside, node->text, sizeof(outside));
    return ft_slice(outside, node->text_len);
}

static inline bool ft_trie_node_is_filter(const struct ft_trie_node *node)
{
    return node->subs.one != NULL;
}

/* The array of a node that has one, else NULL. */
static inline struct ft_trie_array *ft_trie_node_array(const struct ft_trie_node *node)
{
    uintptr_t bits = node->subs.array_bits;
    return bits & 1 ? (struct ft_trie_array *)(bits - 1) : NULL;
}

/* The subscribers of a node; count 0 when it has none. Lent until the node changes. */
static inline struct ft_trie_set ft_trie_node_set(const struct ft_trie_node *node)
{
    struct ft_trie_array *array = ft_trie_node_array(node);
    if (array)
        return (struct ft_trie_set){array->subs, array->count, node};
    return (struct ft_trie_set){&node->subs.one, node->subs.one ? 1 : 0, node};
}

#endif
