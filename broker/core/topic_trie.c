/*
 * The index of filters: how levels become edges, and the walk that collects what matches. Nodes and
 * their memory are in trie_node.c, edges in edge_table.c. Owned by one worker, hence one thread.
 */
#include "broker/core/topic_trie.h"

#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/core/edge_table.h"
#include "broker/core/trie_node.h"
#include "protocol/topic.h"

#define ROOT 0u

struct ft_topic_trie {
    struct ft_trie_pool pool;
    struct ft_edge_table edges;
    uint64_t seed;
    uint64_t subs;
    uint64_t version;
    uint32_t filters;
    struct ft_trie_set *sets; /* the last result of match */
    uint32_t sets_len, sets_cap;
};

/* One level of a topic or filter, with its hash. */
struct level {
    struct ft_slice text;
    uint64_t hash;
};

struct levels {
    struct level all[FT_TOPIC_LEVELS_MAX];
    uint32_t count;
};

/* Multiplies to 128 bits and folds the halves: every bit of the input reaches every bit of the
 * output. The constants are odd and have about as many ones as zeros. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#define MIX_WORD UINT64_C(0x9e3779b97f4a7c15)
#define MIX_TAIL UINT64_C(0xd6e8feb86659fd93)
#define MIX_EDGE UINT64_C(0xa0761d6478bd642f)

/* Peers choose the texts, so the seed is secret: they cannot choose what collides. */
static uint64_t hash_level(uint64_t seed, struct ft_slice text)
{
    const uint8_t *at = text.ptr;
    size_t left = text.len;
    uint64_t hash = seed ^ (text.len * MIX_EDGE);
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = fold(hash ^ word, MIX_WORD);
    }
    uint64_t tail = 0;
    if (left > 0)
        memcpy(&tail, at, left);
    return fold(hash ^ tail, MIX_TAIL);
}

static inline uint32_t hash_edge(uint32_t parent, uint64_t level_hash)
{
    return (uint32_t)(fold(level_hash ^ parent, MIX_EDGE) >> 32);
}

static void split(const struct ft_topic_trie *trie, struct ft_slice topic, struct levels *levels)
{
    size_t at = 0;
    struct ft_slice text;
    levels->count = 0;
    while (ft_topic_next_level(topic, &at, &text)) {
        FT_ASSERT(levels->count < FT_TOPIC_LEVELS_MAX); /* it passed the check */
        levels->all[levels->count++] = (struct level){text, hash_level(trie->seed, text)};
    }
}

static bool is_text(struct ft_slice text, char wildcard)
{
    return text.len == 1 && text.ptr[0] == (uint8_t)wildcard;
}

static inline struct ft_trie_node *node_at(const struct ft_topic_trie *trie, uint32_t index)
{
    return ft_trie_pool_at(&trie->pool, index);
}

/* Returns the child of `parent` with this level, or 0. */
static uint32_t child_of(const struct ft_topic_trie *trie, uint32_t parent,
                         const struct level *level)
{
    uint32_t hash = hash_edge(parent, level->hash);
    uint32_t at = ft_edge_table_home(&trie->edges, hash);
    uint32_t child;
    while ((child = ft_edge_table_next(&trie->edges, hash, &at))) {
        const struct ft_trie_node *node = node_at(trie, child);
        if (node->parent == parent && ft_slice_equal(ft_trie_node_text(node), level->text))
            return child;
    }
    return 0;
}

struct ft_topic_trie *ft_topic_trie_new(uint64_t seed)
{
    struct ft_topic_trie *trie = ft_alloc_zero(sizeof(*trie));
    trie->seed = seed;
    ft_trie_pool_init(&trie->pool);
    ft_edge_table_init(&trie->edges);
    uint32_t root = ft_trie_pool_take(&trie->pool, ROOT, ft_slice("", 0));
    FT_ASSERT(root == ROOT);
    return trie;
}

void ft_topic_trie_free(struct ft_topic_trie *trie)
{
    if (!trie)
        return;
    ft_edge_table_fini(&trie->edges);
    ft_trie_pool_fini(&trie->pool);
    free(trie->sets);
    free(trie);
}

/* ---- adding and removing ---- */

/* Counts a child in or out (`by` is 1 or -1). */
static void count_child(struct ft_trie_node *parent, struct ft_slice text, int by)
{
    if (is_text(text, '+'))
        parent->has_plus = by > 0;
    else if (is_text(text, '#'))
        parent->has_hash = by > 0;
    else
        parent->literals = (parent->literals + (unsigned)by) & ((1u << 30) - 1);
}

static uint32_t add_child(struct ft_topic_trie *trie, uint32_t parent, const struct level *level)
{
    uint32_t child = ft_trie_pool_take(&trie->pool, parent, level->text);
    ft_edge_table_add(&trie->edges, hash_edge(parent, level->hash), child);
    count_child(node_at(trie, parent), level->text, 1);
    return child;
}

void ft_topic_trie_add(struct ft_topic_trie *trie, struct ft_slice filter, struct ft_trie_sub *sub)
{
    struct levels levels;
    split(trie, filter, &levels);
    uint32_t index = ROOT;
    for (uint32_t i = 0; i < levels.count; i++) {
        uint32_t child = child_of(trie, index, &levels.all[i]);
        index = child ? child : add_child(trie, index, &levels.all[i]);
    }
    struct ft_trie_node *node = node_at(trie, index);
    trie->filters += !ft_trie_node_is_filter(node);
    ft_trie_node_add(&trie->pool, node, sub);
    trie->subs++;
    trie->version++;
}

static bool is_needed(const struct ft_trie_node *node)
{
    return ft_trie_node_is_filter(node) || node->literals || node->has_plus || node->has_hash;
}

/* Removes the node and those above it that nobody needs any more. */
static void prune(struct ft_topic_trie *trie, struct ft_trie_node *node)
{
    while (node != node_at(trie, ROOT) && !is_needed(node)) {
        uint32_t parent = node->parent;
        struct level level = {.text = ft_trie_node_text(node)};
        level.hash = hash_level(trie->seed, level.text);
        uint32_t index = child_of(trie, parent, &level);
        FT_ASSERT(node_at(trie, index) == node);
        ft_edge_table_remove(&trie->edges, hash_edge(parent, level.hash), index);
        count_child(node_at(trie, parent), level.text, -1);
        ft_trie_pool_give_back(&trie->pool, index);
        node = node_at(trie, parent);
    }
}

void ft_topic_trie_remove(struct ft_topic_trie *trie, struct ft_trie_sub *sub)
{
    struct ft_trie_node *node = sub->node_;
    FT_ASSERT(node);
    ft_trie_node_remove(&trie->pool, node, sub);
    trie->subs--;
    trie->version++;
    if (ft_trie_node_is_filter(node))
        return;
    trie->filters--;
    prune(trie, node);
}

/* ---- matching ---- */

static void collect(struct ft_topic_trie *trie, const struct ft_trie_node *node)
{
    if (!ft_trie_node_is_filter(node))
        return;
    if (trie->sets_len == trie->sets_cap) {
        trie->sets_cap = trie->sets_cap ? 2 * trie->sets_cap : 16;
        trie->sets = ft_realloc(trie->sets, trie->sets_cap * sizeof(*trie->sets));
    }
    trie->sets[trie->sets_len++] = ft_trie_node_set(node);
}

/* A node that the walk has still to visit, reached by the first `depth` levels of the topic. */
struct visit {
    uint32_t index;
    uint32_t depth;
};

/* Each visit takes one off the stack and puts at most two on, a level deeper. */
struct walk {
    struct visit stack[FT_TOPIC_LEVELS_MAX + 2];
    uint32_t len;
};

static void walk_push(struct walk *walk, uint32_t index, uint32_t depth)
{
    if (index != 0)
        walk->stack[walk->len++] = (struct visit){index, depth};
}

/* Visits one node: collects what ends here and pushes the children that go on. */
static void visit(struct ft_topic_trie *trie, struct walk *walk, const struct levels *levels,
                  struct visit at)
{
    static const struct ft_slice plus = {.ptr = (const uint8_t *)"+", .len = 1};
    static const struct ft_slice hash = {.ptr = (const uint8_t *)"#", .len = 1};
    const struct ft_trie_node *node = node_at(trie, at.index);
    /* MQTT 5.0 section 4.7.2: a wildcard at the beginning does not match a topic of the broker's. */
    bool wild = at.depth > 0 || levels->all[0].text.len == 0 || levels->all[0].text.ptr[0] != '$';
    if (node->has_hash && wild) {
        struct level level = {hash, hash_level(trie->seed, hash)};
        collect(trie, node_at(trie, child_of(trie, at.index, &level)));
    }
    if (at.depth == levels->count) {
        collect(trie, node);
        return;
    }
    if (node->has_plus && wild) {
        struct level level = {plus, hash_level(trie->seed, plus)};
        walk_push(walk, child_of(trie, at.index, &level), at.depth + 1);
    }
    if (node->literals)
        walk_push(walk, child_of(trie, at.index, &levels->all[at.depth]), at.depth + 1);
}

uint32_t ft_topic_trie_match(struct ft_topic_trie *trie, struct ft_slice topic,
                             const struct ft_trie_set **sets)
{
    struct levels levels;
    struct walk walk = {.len = 0};
    split(trie, topic, &levels);
    trie->sets_len = 0;
    visit(trie, &walk, &levels, (struct visit){ROOT, 0});
    while (walk.len > 0)
        visit(trie, &walk, &levels, walk.stack[--walk.len]);
    *sets = trie->sets;
    return trie->sets_len;
}

/* ---- looking up ---- */

const struct ft_trie_node *ft_topic_trie_find(const struct ft_topic_trie *trie,
                                              struct ft_slice filter)
{
    struct levels levels;
    split(trie, filter, &levels);
    uint32_t index = ROOT;
    for (uint32_t i = 0; i < levels.count; i++) {
        index = child_of(trie, index, &levels.all[i]);
        if (index == 0)
            return NULL;
    }
    const struct ft_trie_node *node = node_at(trie, index);
    return ft_trie_node_is_filter(node) ? node : NULL;
}

uint32_t ft_topic_trie_filter_of(const struct ft_topic_trie *trie, const struct ft_trie_sub *sub,
                                 char *out)
{
    const struct ft_trie_node *path[FT_TOPIC_LEVELS_MAX];
    uint32_t depth = 0;
    for (const struct ft_trie_node *node = sub->node_; node != node_at(trie, ROOT);
         node = node_at(trie, node->parent))
        path[depth++] = node;
    uint32_t len = 0;
    while (depth > 0) {
        struct ft_slice text = ft_trie_node_text(path[--depth]);
        if (text.len > 0)
            memcpy(out + len, text.ptr, text.len);
        len += (uint32_t)text.len;
        if (depth > 0)
            out[len++] = '/';
    }
    return len;
}

uint32_t ft_topic_trie_filters(const struct ft_topic_trie *trie)
{
    return trie->filters;
}

uint64_t ft_topic_trie_subs(const struct ft_topic_trie *trie)
{
    return trie->subs;
}

size_t ft_topic_trie_bytes(const struct ft_topic_trie *trie)
{
    return sizeof(*trie) + ft_trie_pool_bytes(&trie->pool) + ft_edge_table_bytes(&trie->edges) +
           trie->sets_cap * sizeof(*trie->sets);
}

uint64_t ft_topic_trie_version(const struct ft_topic_trie *trie)
{
    return trie->version;
}
