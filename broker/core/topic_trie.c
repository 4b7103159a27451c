/*
 * The index of filters. A topic's levels are hashed once, each into the hash of the path so far; a
 * node's children are found in one table by that hash and then compared byte by byte, so a collision
 * costs time and never a false match. `+` and `#` are ordinary children, with a flag in the parent
 * that says whether to look. Knows no sessions; one thread each.
 */
#include "broker/core/topic_trie.h"

#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/core/edge_table.h"
#include "broker/core/hash.h"
#include "broker/core/trie_node.h"
#include "protocol/topic.h"

#define ROOT 0

struct ft_topic_trie {
    struct ft_edge_table edges;
    struct ft_trie_pool nodes;
    struct ft_hash_keys keys;
    uint64_t plus_level; /* hash of the level "+" */
    uint64_t hash_level; /* hash of the level "#" */
    uint32_t hash_mask;  /* the bits of an edge's hash that are kept */
    uint32_t filters;
    uint64_t subs;
    struct ft_trie_set *found; /* the last match */
    uint32_t found_count, found_cap;
};

/* A topic or filter split into levels. `path[i]` is the hash of the first i levels. */
struct levels {
    uint32_t count;
    struct ft_slice text[FT_TOPIC_LEVELS_MAX];
    uint64_t hash[FT_TOPIC_LEVELS_MAX];
    uint64_t path[FT_TOPIC_LEVELS_MAX + 1];
};

/* The part of a path's hash that the table of edges keeps. */
static inline uint32_t edge_hash(const struct ft_topic_trie *trie, uint64_t path)
{
    return (uint32_t)(path >> 32) & trie->hash_mask;
}

/* Splits and hashes, and asks the memory for the edges of the path as soon as each is known. */
static void split(const struct ft_topic_trie *trie, struct ft_slice name, struct levels *levels)
{
    uint32_t n = 0;
    size_t at = 0;
    levels->path[0] = trie->keys.words[0];
    while (n < FT_TOPIC_LEVELS_MAX && ft_topic_next_level(name, &at, &levels->text[n])) {
        levels->hash[n] = ft_hash(&trie->keys, levels->text[n]);
        levels->path[n + 1] = ft_hash_join(&trie->keys, levels->path[n], levels->hash[n]);
        ft_edge_table_prefetch(&trie->edges, edge_hash(trie, levels->path[n + 1]));
        n++;
    }
    levels->count = n;
}

/* Asks the memory for the nodes of the path, of which the edges are arriving. The misses of all
 * levels overlap so, instead of each waiting for the one above. */
static void prefetch_nodes(const struct ft_topic_trie *trie, const struct levels *levels)
{
    for (uint32_t i = 1; i <= levels->count; i++) {
        uint32_t hash = edge_hash(trie, levels->path[i]);
        uint32_t at = ft_edge_table_home(&trie->edges, hash);
        uint32_t child = ft_edge_table_next(&trie->edges, hash, &at);
        if (child != 0)
            __builtin_prefetch(ft_trie_pool_at(&trie->nodes, child));
    }
}

/* Returns the child of `parent` with this text, whose path has the hash `path`; 0 when there is
 * none. */
static uint32_t find_child(const struct ft_topic_trie *trie, uint32_t parent, struct ft_slice text,
                           uint64_t path)
{
    uint32_t hash = edge_hash(trie, path);
    uint32_t at = ft_edge_table_home(&trie->edges, hash);
    uint32_t child;
    while ((child = ft_edge_table_next(&trie->edges, hash, &at)) != 0) {
        const struct ft_trie_node *node = ft_trie_pool_at(&trie->nodes, child);
        if (node->parent == parent && ft_slice_equal(ft_trie_node_text(node), text))
            return child;
    }
    return 0;
}

static struct ft_slice plus_text(void)
{
    return ft_slice("+", 1);
}

static struct ft_slice hash_text(void)
{
    return ft_slice("#", 1);
}

struct ft_topic_trie *ft_topic_trie_new_colliding(uint64_t seed, unsigned hash_bits)
{
    FT_ASSERT(hash_bits <= 32);
    struct ft_topic_trie *trie = ft_alloc_zero(sizeof(*trie));
    ft_hash_keys_init(&trie->keys, seed);
    trie->hash_mask = hash_bits == 0 ? 0 : UINT32_MAX << (32 - hash_bits);
    trie->plus_level = ft_hash(&trie->keys, plus_text());
    trie->hash_level = ft_hash(&trie->keys, hash_text());
    ft_edge_table_init(&trie->edges);
    ft_trie_pool_init(&trie->nodes);
    uint32_t root = ft_trie_pool_take(&trie->nodes, ROOT, ft_slice("", 0));
    FT_ASSERT(root == ROOT);
    return trie;
}

struct ft_topic_trie *ft_topic_trie_new(uint64_t seed)
{
    return ft_topic_trie_new_colliding(seed, 32);
}

void ft_topic_trie_free(struct ft_topic_trie *trie)
{
    if (!trie)
        return;
    ft_edge_table_fini(&trie->edges);
    ft_trie_pool_fini(&trie->nodes);
    free(trie->found);
    free(trie);
}

static bool is_plus(struct ft_slice level)
{
    return level.len == 1 && level.ptr[0] == '+';
}

static bool is_hash(struct ft_slice level)
{
    return level.len == 1 && level.ptr[0] == '#';
}

static uint32_t add_child(struct ft_topic_trie *trie, uint32_t parent, struct ft_slice text,
                          uint64_t path)
{
    uint32_t child = ft_trie_pool_take(&trie->nodes, parent, text);
    ft_edge_table_add(&trie->edges, edge_hash(trie, path), child);
    struct ft_trie_node *above = ft_trie_pool_at(&trie->nodes, parent);
    if (is_plus(text))
        above->has_plus = 1;
    else if (is_hash(text))
        above->has_hash = 1;
    else
        above->literals++;
    return child;
}

void ft_topic_trie_add(struct ft_topic_trie *trie, struct ft_slice filter, struct ft_trie_sub *sub)
{
    struct levels levels;
    split(trie, filter, &levels);
    uint32_t index = ROOT;
    for (uint32_t i = 0; i < levels.count; i++) {
        uint64_t path = levels.path[i + 1];
        uint32_t child = find_child(trie, index, levels.text[i], path);
        index = child != 0 ? child : add_child(trie, index, levels.text[i], path);
    }
    struct ft_trie_node *node = ft_trie_pool_at(&trie->nodes, index);
    if (!ft_trie_node_is_filter(node))
        trie->filters++;
    ft_trie_node_add(&trie->nodes, node, sub);
    trie->subs++;
}

/* Collects the levels of the path to `node` by walking up. */
static void levels_of(const struct ft_topic_trie *trie, const struct ft_trie_node *node,
                      struct levels *levels)
{
    const struct ft_trie_node *root = ft_trie_pool_at(&trie->nodes, ROOT);
    uint32_t n = 0;
    struct ft_slice upward[FT_TOPIC_LEVELS_MAX];
    for (; node != root; node = ft_trie_pool_at(&trie->nodes, node->parent))
        upward[n++] = ft_trie_node_text(node);
    levels->count = n;
    levels->path[0] = trie->keys.words[0];
    for (uint32_t i = 0; i < n; i++) {
        levels->text[i] = upward[n - 1 - i];
        levels->hash[i] = ft_hash(&trie->keys, levels->text[i]);
        levels->path[i + 1] = ft_hash_join(&trie->keys, levels->path[i], levels->hash[i]);
    }
}

/* Returns the index of a node whose address is known, from the edge that leads to it. */
static uint32_t index_of(const struct ft_topic_trie *trie, const struct ft_trie_node *node,
                         uint64_t path)
{
    uint32_t hash = edge_hash(trie, path);
    uint32_t at = ft_edge_table_home(&trie->edges, hash);
    uint32_t child;
    do {
        child = ft_edge_table_next(&trie->edges, hash, &at);
        FT_ASSERT(child != 0);
    } while (ft_trie_pool_at(&trie->nodes, child) != node);
    return child;
}

/* Removes a node without children or subscribers, and says which one is above it. */
static struct ft_trie_node *remove_node(struct ft_topic_trie *trie, struct ft_trie_node *node,
                                        uint64_t path)
{
    struct ft_trie_node *above = ft_trie_pool_at(&trie->nodes, node->parent);
    struct ft_slice text = ft_trie_node_text(node);
    if (is_plus(text))
        above->has_plus = 0;
    else if (is_hash(text))
        above->has_hash = 0;
    else
        above->literals--;
    uint32_t index = index_of(trie, node, path);
    ft_edge_table_remove(&trie->edges, edge_hash(trie, path), index);
    ft_trie_pool_give_back(&trie->nodes, index);
    return above;
}

static bool is_needed(const struct ft_trie_node *node)
{
    return ft_trie_node_is_filter(node) || node->literals > 0 || node->has_plus || node->has_hash;
}

void ft_topic_trie_remove(struct ft_topic_trie *trie, struct ft_trie_sub *sub)
{
    struct ft_trie_node *node = sub->node_;
    FT_ASSERT(node != NULL);
    ft_trie_node_remove(&trie->nodes, node, sub);
    trie->subs--;
    if (ft_trie_node_is_filter(node))
        return;
    trie->filters--;
    if (is_needed(node))
        return;

    struct levels levels;
    levels_of(trie, node, &levels);
    for (uint32_t depth = levels.count; depth > 0 && !is_needed(node); depth--)
        node = remove_node(trie, node, levels.path[depth]);
}

static void found(struct ft_topic_trie *trie, const struct ft_trie_node *node)
{
    struct ft_trie_set set = ft_trie_node_set(node);
    if (set.count == 0)
        return;
    if (trie->found_count == trie->found_cap) {
        trie->found_cap = trie->found_cap ? trie->found_cap * 2 : 16;
        trie->found = ft_realloc(trie->found, trie->found_cap * sizeof(*trie->found));
    }
    trie->found[trie->found_count++] = set;
}

/* A place that the match may go to: the child `text` of `parent`, to which the first `depth` levels
 * of the topic lead and which is looked up when its turn comes. */
struct place {
    struct ft_slice text;
    uint64_t path;
    uint32_t parent;
    uint32_t depth;
};

/* The state of one match. Depth first, so that each level leaves at most one place waiting: one a
 * level is enough, and one more for the second that the deepest step adds. */
struct walk {
    struct levels levels;
    bool is_reserved;
    uint32_t waiting;
    struct place places[FT_TOPIC_LEVELS_MAX + 1];
};

static void push(struct walk *walk, struct place place)
{
    walk->places[walk->waiting++] = place;
}

/* Puts off the `+` below a node, and asks the memory for its edge and for the one that most likely
 * comes next: while they arrive, the literal child is walked. */
static void push_plus(const struct ft_topic_trie *trie, struct walk *walk, uint32_t index,
                      uint32_t depth, uint64_t path)
{
    uint64_t below = ft_hash_join(&trie->keys, path, trie->plus_level);
    ft_edge_table_prefetch(&trie->edges, edge_hash(trie, below));
    if (depth + 1 < walk->levels.count) {
        uint64_t next = ft_hash_join(&trie->keys, below, walk->levels.hash[depth + 1]);
        ft_edge_table_prefetch(&trie->edges, edge_hash(trie, next));
    }
    push(walk, (struct place){plus_text(), below, index, depth + 1});
}

/* Reports what ends at a node, to which the first `depth` levels of the topic lead, and notes where
 * to go on. */
static void visit(struct ft_topic_trie *trie, struct walk *walk, uint32_t index, uint32_t depth,
                  uint64_t path)
{
    const struct ft_trie_node *node = ft_trie_pool_at(&trie->nodes, index);
    bool wildcards = depth > 0 || !walk->is_reserved; /* MQTT 5.0, 4.7.2 */
    if (node->has_hash && wildcards) {
        uint64_t below = ft_hash_join(&trie->keys, path, trie->hash_level);
        uint32_t child = find_child(trie, index, hash_text(), below);
        found(trie, ft_trie_pool_at(&trie->nodes, child));
    }
    if (depth == walk->levels.count) {
        found(trie, node);
        return;
    }
    if (node->has_plus && wildcards)
        push_plus(trie, walk, index, depth, path);
    if (node->literals > 0) {
        uint64_t below = ft_hash_join(&trie->keys, path, walk->levels.hash[depth]);
        push(walk, (struct place){walk->levels.text[depth], below, index, depth + 1});
    }
}

uint32_t ft_topic_trie_match(struct ft_topic_trie *trie, struct ft_slice topic,
                             const struct ft_trie_set **sets)
{
    struct walk walk;
    split(trie, topic, &walk.levels);
    prefetch_nodes(trie, &walk.levels);
    walk.is_reserved = ft_topic_is_reserved(topic);
    walk.waiting = 0;
    trie->found_count = 0;

    visit(trie, &walk, ROOT, 0, walk.levels.path[0]);
    while (walk.waiting > 0) {
        struct place place = walk.places[--walk.waiting];
        uint32_t child = find_child(trie, place.parent, place.text, place.path);
        if (child != 0)
            visit(trie, &walk, child, place.depth, place.path);
    }
    *sets = trie->found;
    return trie->found_count;
}

const struct ft_trie_node *ft_topic_trie_find(const struct ft_topic_trie *trie,
                                              struct ft_slice filter)
{
    struct levels levels;
    split(trie, filter, &levels);
    uint32_t index = ROOT;
    for (uint32_t i = 0; i < levels.count; i++) {
        index = find_child(trie, index, levels.text[i], levels.path[i + 1]);
        if (index == 0)
            return NULL;
    }
    const struct ft_trie_node *node = ft_trie_pool_at(&trie->nodes, index);
    return ft_trie_node_is_filter(node) ? node : NULL;
}

uint32_t ft_topic_trie_filter_of(const struct ft_topic_trie *trie, const struct ft_trie_sub *sub,
                                 char *out)
{
    FT_ASSERT(sub->node_ != NULL);
    struct levels levels;
    levels_of(trie, sub->node_, &levels);
    uint32_t n = 0;
    for (uint32_t i = 0; i < levels.count; i++) {
        if (i > 0)
            out[n++] = '/';
        if (levels.text[i].len > 0)
            memcpy(out + n, levels.text[i].ptr, levels.text[i].len);
        n += (uint32_t)levels.text[i].len;
    }
    return n;
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
    return sizeof(*trie) + ft_edge_table_bytes(&trie->edges) + ft_trie_pool_bytes(&trie->nodes) +
           trie->found_cap * sizeof(*trie->found);
}
