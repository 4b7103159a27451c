/*
 * Index of filters: who subscribes to what. One per worker, no locks. Answers "which sets of
 * subscribers does this topic reach" in time that does not grow with the filters that do not match.
 *
 *     root ─ "stocks" ─┬─ "ACME" ─ "price"   [s1 s9]
 *                      ├─ "+" ──── "price"   [s2]
 *                      └─ "#"                [s3 s4]
 *
 * The trie knows nothing of sessions, permissions or duplicates: it hands out sets, and a subscriber
 * with two filters that match is in two of them. Linear twin: ft_filter_matches() over a list.
 */
#ifndef FT_CORE_TOPIC_TRIE_H
#define FT_CORE_TOPIC_TRIE_H

#include "protocol/slice.h"

struct ft_topic_trie;
struct ft_trie_node;

/* One subscriber's place under one filter; embedded in the caller's own struct, never moved while
 * it is in the trie. The private fields belong to the trie. */
struct ft_trie_sub {
    struct ft_trie_node *node_; /* NULL: not in a trie */
    uint32_t slot_;
};

/* The subscribers of one filter that matched, in no particular order. */
struct ft_trie_set {
    struct ft_trie_sub *const *subs;
    uint32_t count;
    const struct ft_trie_node *node; /* the filter's: that of each sub->node_ */
};

/* `seed` makes the hash of topic levels unpredictable to peers. */
struct ft_topic_trie *ft_topic_trie_new(uint64_t seed);

/*
 * The same with hashes of only so many bits, 0 to 32: for tests, which make everything collide with
 * it. Matches are right all the same, only slow.
 */
struct ft_topic_trie *ft_topic_trie_new_colliding(uint64_t seed, unsigned hash_bits);

/* Frees the trie; every subscriber that is still in it is simply forgotten. */
void ft_topic_trie_free(struct ft_topic_trie *trie);

/* Adds `sub` (which is in no trie) under a valid filter. */
void ft_topic_trie_add(struct ft_topic_trie *trie, struct ft_slice filter, struct ft_trie_sub *sub);

/* Takes `sub` out; the nodes that no filter needs any more go with it. Time grows with the levels of
 * the filter, with nothing else. */
void ft_topic_trie_remove(struct ft_topic_trie *trie, struct ft_trie_sub *sub);

/*
 * Finds the filters that match a valid topic. Sets `*sets` to an array, lent until the next call on
 * this trie, and returns its length.
 */
uint32_t ft_topic_trie_match(struct ft_topic_trie *trie, struct ft_slice topic,
                             const struct ft_trie_set **sets);

/* Returns the node of exactly this filter, or NULL; compare with sub->node_ to know whether a
 * subscriber of yours is under it. */
const struct ft_trie_node *ft_topic_trie_find(const struct ft_topic_trie *trie,
                                              struct ft_slice filter);

/* Writes the filter that `sub` is under into `out` (room for FT_TOPIC_BYTES_MAX) and returns its
 * length. */
uint32_t ft_topic_trie_filter_of(const struct ft_topic_trie *trie, const struct ft_trie_sub *sub,
                                 char *out);

/* Number of distinct filters, of subscribers under them, and bytes of memory held. */
uint32_t ft_topic_trie_filters(const struct ft_topic_trie *trie);
uint64_t ft_topic_trie_subs(const struct ft_topic_trie *trie);
size_t ft_topic_trie_bytes(const struct ft_topic_trie *trie);

#endif
