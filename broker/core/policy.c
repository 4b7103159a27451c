/*
 * The rules as a trie. Walking it depth first, at each level the literal child before '+' before
 * '#', meets the rules that match a topic in the order of their specificity, so the first one found
 * is the answer and nothing is compared. No node is visited twice in one search. The search keeps
 * what it needs on its own stack; the set is only read. Knows no configuration file and no session.
 */
#include "broker/core/policy.h"

#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/core/edge_table.h"
#include "protocol/topic.h"

#define ROOT 0

struct rule {
    struct ft_policy policy;
    struct ft_slice filter; /* owned */
};

/* A path of levels. Rules are numbered from 1 here: 0 is none, and so is child 0, the root. */
struct node {
    struct ft_slice text; /* lies in the filter of the rule that made the node */
    uint32_t parent;
    uint32_t literals; /* children that are not wildcards */
    uint32_t plus;     /* the child '+' */
    uint32_t exact;    /* the rule that ends here */
    uint32_t rest;     /* the rule that ends here with '#' */
};

struct ft_policies {
    struct ft_edge_table edges; /* to literal children */
    struct node *nodes;
    struct rule *rules;
    uint32_t node_count, node_cap;
    uint32_t rule_count, rule_cap;
    bool have_presence;
};

/* A topic, split and hashed only as far as the search has come. */
struct levels {
    struct ft_slice topic;
    size_t at;
    uint32_t count;
    struct ft_slice text[FT_TOPIC_LEVELS_MAX];
    uint64_t hash[FT_TOPIC_LEVELS_MAX];
};

static const struct ft_policy default_policy;

/* FNV-1a. Peers choose topics, but the edges are the operator's: what collides with one costs one
 * comparison. */
static uint64_t hash_text(struct ft_slice text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ text.ptr[i]) * UINT64_C(1099511628211);
    return hash;
}

/* The hash of an edge: from this parent, with a level of this hash. */
static inline uint32_t edge_hash(uint32_t parent, uint64_t level)
{
    uint64_t mixed = (level ^ (uint64_t)parent << 32) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)((mixed ^ mixed >> 29) * UINT64_C(0xBF58476D1CE4E5B9) >> 32);
}

static uint32_t find_child(const struct ft_policies *policies, uint32_t parent,
                           struct ft_slice text, uint64_t text_hash)
{
    uint32_t hash = edge_hash(parent, text_hash);
    uint32_t at = ft_edge_table_home(&policies->edges, hash);
    uint32_t child;
    while ((child = ft_edge_table_next(&policies->edges, hash, &at)) != 0) {
        const struct node *node = &policies->nodes[child];
        if (node->parent == parent && ft_slice_equal(node->text, text))
            return child;
    }
    return 0;
}

/* ---- building ---- */

static uint32_t add_node(struct ft_policies *policies, uint32_t parent, struct ft_slice text)
{
    if (policies->node_count == policies->node_cap) {
        policies->node_cap = policies->node_cap * 2 + 16;
        policies->nodes =
            ft_realloc(policies->nodes, policies->node_cap * sizeof(*policies->nodes));
    }
    policies->nodes[policies->node_count] = (struct node){.text = text, .parent = parent};
    return policies->node_count++;
}

static uint32_t child_for(struct ft_policies *policies, uint32_t parent, struct ft_slice text)
{
    bool is_plus = text.len == 1 && text.ptr[0] == '+';
    uint64_t hash = hash_text(text);
    uint32_t child =
        is_plus ? policies->nodes[parent].plus : find_child(policies, parent, text, hash);
    if (child != 0)
        return child;
    child = add_node(policies, parent, text);
    if (is_plus) {
        policies->nodes[parent].plus = child;
    } else {
        policies->nodes[parent].literals++;
        ft_edge_table_add(&policies->edges, edge_hash(parent, hash), child);
    }
    return child;
}

/* Returns the place that a filter's rule has, making the nodes on the way. Their texts lie in
 * `filter`. Lent until the next node is made. */
static uint32_t *place_of(struct ft_policies *policies, struct ft_slice filter)
{
    struct ft_slice text;
    uint32_t node = ROOT;
    size_t at = 0;
    while (ft_topic_next_level(filter, &at, &text)) {
        if (text.len == 1 && text.ptr[0] == '#')
            return &policies->nodes[node].rest;
        node = child_for(policies, node, text);
    }
    return &policies->nodes[node].exact;
}

struct ft_policies *ft_policies_new(void)
{
    struct ft_policies *policies = ft_alloc_zero(sizeof(*policies));
    ft_edge_table_init(&policies->edges);
    add_node(policies, ROOT, ft_slice("", 0));
    return policies;
}

void ft_policies_free(struct ft_policies *policies)
{
    if (!policies)
        return;
    for (uint32_t i = 0; i < policies->rule_count; i++)
        free((void *)policies->rules[i].filter.ptr);
    free(policies->rules);
    free(policies->nodes);
    ft_edge_table_fini(&policies->edges);
    free(policies);
}

bool ft_policies_add(struct ft_policies *policies, struct ft_slice filter,
                     const struct ft_policy *policy)
{
    uint8_t *copy = ft_alloc(filter.len);
    memcpy(copy, filter.ptr, filter.len);
    struct ft_slice owned = ft_slice(copy, filter.len);
    uint32_t *place = place_of(policies, owned);
    if (*place != 0) {
        free(copy); /* every node was there already, with a text of its own */
        return false;
    }
    FT_ASSERT(policies->rule_count < FT_POLICIES_MAX);
    if (policies->rule_count == policies->rule_cap) {
        policies->rule_cap = policies->rule_cap * 2 + 16;
        policies->rules =
            ft_realloc(policies->rules, policies->rule_cap * sizeof(*policies->rules));
    }
    policies->rules[policies->rule_count++] = (struct rule){.policy = *policy, .filter = owned};
    *place = policies->rule_count;
    policies->have_presence |= policy->presence;
    return true;
}

size_t ft_policies_count(const struct ft_policies *policies)
{
    return policies ? policies->rule_count : 0;
}

bool ft_policies_have_presence(const struct ft_policies *policies)
{
    return policies && policies->have_presence;
}

const struct ft_policy *ft_policies_at(const struct ft_policies *policies, size_t i,
                                       struct ft_slice *filter)
{
    FT_ASSERT(i < ft_policies_count(policies));
    *filter = policies->rules[i].filter;
    return &policies->rules[i].policy;
}

/* ---- looking up ---- */

/* Splits off level `depth` unless that was done before. False: the topic ends before it. */
static bool has_level(struct levels *levels, uint32_t depth)
{
    if (depth < levels->count)
        return true;
    if (depth >= FT_TOPIC_LEVELS_MAX ||
        !ft_topic_next_level(levels->topic, &levels->at, &levels->text[depth]))
        return false;
    levels->hash[depth] = hash_text(levels->text[depth]);
    levels->count = depth + 1;
    return true;
}

/* Returns the number of the most specific rule below `index` for the levels from `depth` on. */
static uint32_t search(const struct ft_policies *policies, uint32_t index, struct levels *levels,
                       uint32_t depth)
{
    const struct node *node = &policies->nodes[index];
    if (!has_level(levels, depth))
        return node->exact ? node->exact : node->rest;
    uint32_t rule = 0;
    if (node->literals != 0) {
        uint32_t child = find_child(policies, index, levels->text[depth], levels->hash[depth]);
        rule = child ? search(policies, child, levels, depth + 1) : 0;
    }
    if (depth == 0 && ft_topic_is_reserved(levels->topic))
        return rule; /* a leading wildcard does not see the broker's topics */
    if (rule == 0 && node->plus != 0)
        rule = search(policies, node->plus, levels, depth + 1);
    return rule ? rule : node->rest;
}

const struct ft_policy *ft_policies_find(const struct ft_policies *policies, struct ft_slice topic,
                                         struct ft_slice *filter)
{
    uint32_t number = 0;
    if (policies && policies->rule_count != 0) {
        struct levels levels;
        levels.topic = topic;
        levels.at = 0;
        levels.count = 0;
        number = search(policies, ROOT, &levels, 0);
    }
    const struct rule *rule = number ? &policies->rules[number - 1] : NULL;
    if (filter)
        *filter = rule ? rule->filter : ft_slice("", 0);
    return rule ? &rule->policy : &default_policy;
}
