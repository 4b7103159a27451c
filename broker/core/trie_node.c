/*
 * The pool of trie nodes, and what a node holds: its text and its subscribers. Knows nothing of
 * matching. Owned by one trie, hence one thread.
 */
#include "broker/core/trie_node.h"

#include <stdlib.h>

#include "broker/base/alloc.h"

void ft_trie_pool_init(struct ft_trie_pool *pool)
{
    *pool = (struct ft_trie_pool){0};
}

static size_t array_bytes(uint32_t cap)
{
    return sizeof(struct ft_trie_array) + cap * sizeof(struct ft_trie_sub *);
}

static void free_text(struct ft_trie_pool *pool, struct ft_trie_node *node)
{
    if (node->text_len <= FT_TRIE_INLINE_TEXT)
        return;
    pool->outside_bytes_ -= node->text_len;
    free((void *)(uintptr_t)ft_trie_node_text(node).ptr);
}

/* Frees what the nodes of a slab hold. A node that was given back has neither text nor array. */
static void free_contents(struct ft_trie_pool *pool, struct ft_trie_slab *slab)
{
    for (uint32_t i = 0; i < slab->fresh; i++) {
        free_text(pool, &slab->nodes[i]);
        free(ft_trie_node_array(&slab->nodes[i]));
    }
}

void ft_trie_pool_fini(struct ft_trie_pool *pool)
{
    for (uint32_t i = 0; i < pool->slab_count_; i++) {
        if (!pool->slabs_[i])
            continue;
        free_contents(pool, pool->slabs_[i]);
        free(pool->slabs_[i]);
    }
    free(pool->slabs_);
    ft_trie_pool_init(pool);
}

static void link_slab(struct ft_trie_pool *pool, struct ft_trie_slab *slab)
{
    slab->prev = NULL;
    slab->next = pool->with_room_;
    if (slab->next)
        slab->next->prev = slab;
    pool->with_room_ = slab;
}

static void unlink_slab(struct ft_trie_pool *pool, struct ft_trie_slab *slab)
{
    if (slab->next)
        slab->next->prev = slab->prev;
    if (slab->prev)
        slab->prev->next = slab->next;
    else
        pool->with_room_ = slab->next;
}

/* Returns a number for a new slab: the lowest that a freed one left, else the next. */
static uint32_t take_number(struct ft_trie_pool *pool)
{
    if (pool->live_slabs_ < pool->slab_count_) {
        uint32_t number = 0;
        while (pool->slabs_[number])
            number++;
        return number;
    }
    FT_ASSERT(pool->slab_count_ < UINT32_MAX >> FT_TRIE_SLAB_BITS);
    if (pool->slab_count_ == pool->slab_cap_) {
        pool->slab_cap_ = pool->slab_cap_ ? pool->slab_cap_ * 2 : 8;
        pool->slabs_ = ft_realloc(pool->slabs_, pool->slab_cap_ * sizeof(struct ft_trie_slab *));
    }
    return pool->slab_count_++;
}

static struct ft_trie_slab *add_slab(struct ft_trie_pool *pool)
{
    /* Only the header is written: the system hands out pages of nodes as they are first used. */
    struct ft_trie_slab *slab = ft_alloc_aligned(64, sizeof(*slab));
    slab->number = take_number(pool);
    slab->live = slab->fresh = slab->first_free = 0;
    pool->slabs_[slab->number] = slab;
    pool->live_slabs_++;
    link_slab(pool, slab);
    return slab;
}

static void set_text(struct ft_trie_pool *pool, struct ft_trie_node *node, struct ft_slice text)
{
    node->text_len = (uint8_t)text.len;
    if (text.len <= FT_TRIE_INLINE_TEXT) {
        if (text.len > 0)
            memcpy(node->text, text.ptr, text.len);
        return;
    }
    uint8_t *outside = ft_alloc(text.len);
    memcpy(outside, text.ptr, text.len);
    memcpy(node->text, &outside, sizeof(outside));
    pool->outside_bytes_ += text.len;
}

uint32_t ft_trie_pool_take(struct ft_trie_pool *pool, uint32_t parent, struct ft_slice text)
{
    struct ft_trie_slab *slab = pool->with_room_ ? pool->with_room_ : add_slab(pool);
    uint32_t place;
    if (slab->first_free != 0) {
        place = slab->first_free - 1;
        slab->first_free = slab->nodes[place].parent;
    } else {
        place = slab->fresh++;
    }
    if (++slab->live == FT_TRIE_SLAB_NODES)
        unlink_slab(pool, slab);

    slab->nodes[place] = (struct ft_trie_node){.parent = parent};
    set_text(pool, &slab->nodes[place], text);
    return slab->number << FT_TRIE_SLAB_BITS | place;
}

void ft_trie_pool_give_back(struct ft_trie_pool *pool, uint32_t index)
{
    struct ft_trie_slab *slab = pool->slabs_[index >> FT_TRIE_SLAB_BITS];
    uint32_t place = index & (FT_TRIE_SLAB_NODES - 1);
    struct ft_trie_node *node = &slab->nodes[place];
    FT_ASSERT(!ft_trie_node_is_filter(node));
    free_text(pool, node);
    *node = (struct ft_trie_node){.parent = slab->first_free};
    slab->first_free = place + 1;
    if (slab->live-- == FT_TRIE_SLAB_NODES)
        link_slab(pool, slab);

    /* An empty slab goes, unless it is the only one with room: a filter that comes and goes at the
     * edge of a slab would allocate one each time. */
    bool is_only_room = pool->with_room_ == slab && !slab->next;
    if (slab->live > 0 || is_only_room)
        return;
    unlink_slab(pool, slab);
    pool->slabs_[slab->number] = NULL;
    pool->live_slabs_--;
    free(slab);
}

size_t ft_trie_pool_bytes(const struct ft_trie_pool *pool)
{
    return pool->live_slabs_ * sizeof(struct ft_trie_slab) +
           pool->slab_cap_ * sizeof(struct ft_trie_slab *) + pool->outside_bytes_;
}

static struct ft_trie_array *resize_array(struct ft_trie_pool *pool, struct ft_trie_node *node,
                                          uint32_t cap)
{
    struct ft_trie_array *array = ft_trie_node_array(node);
    pool->outside_bytes_ += array_bytes(cap) - (array ? array_bytes(array->cap) : 0);
    array = ft_realloc(array, array_bytes(cap));
    array->cap = cap;
    node->subs.array_bits = (uintptr_t)array | 1;
    return array;
}

void ft_trie_node_add(struct ft_trie_pool *pool, struct ft_trie_node *node, struct ft_trie_sub *sub)
{
    sub->node_ = node;
    sub->slot_ = 0;
    if (!ft_trie_node_is_filter(node)) {
        node->subs.one = sub;
        return;
    }
    struct ft_trie_array *array = ft_trie_node_array(node);
    if (!array) {
        struct ft_trie_sub *first = node->subs.one;
        node->subs.one = NULL;
        array = resize_array(pool, node, 2);
        array->subs[0] = first;
        array->count = 1;
    } else if (array->count == array->cap) {
        array = resize_array(pool, node, array->cap * 2);
    }
    sub->slot_ = array->count;
    array->subs[array->count++] = sub;
}

void ft_trie_node_remove(struct ft_trie_pool *pool, struct ft_trie_node *node,
                         struct ft_trie_sub *sub)
{
    struct ft_trie_array *array = ft_trie_node_array(node);
    if (!array) {
        FT_ASSERT(node->subs.one == sub);
        node->subs.one = NULL;
        sub->node_ = NULL;
        return;
    }
    FT_ASSERT(sub->slot_ < array->count && array->subs[sub->slot_] == sub);
    struct ft_trie_sub *last = array->subs[--array->count];
    array->subs[sub->slot_] = last;
    last->slot_ = sub->slot_;
    sub->node_ = NULL;
    if (array->count == 1) {
        pool->outside_bytes_ -= array_bytes(array->cap);
        node->subs.one = array->subs[0]; /* its slot is 0 by now, as it has to be */
        free(array);
    } else if (array->count <= array->cap / 4) {
        resize_array(pool, node, array->cap / 2);
    }
}
