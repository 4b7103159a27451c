/* The index of filters against its slow, obvious twin: a list of filters and ft_filter_matches(). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/core/topic_trie.h"
#include "broker/core/trie_node.h"
#include "protocol/topic.h"
#include "tests/unit/support/input.h"

#define SEED 20261121

/* One subscriber of a test, with the filter that it is under; "" while it is under none. */
struct reader {
    struct ft_trie_sub sub;
    char filter[FT_TOPIC_BYTES_MAX + 1];
    unsigned seen;
};

static void add(struct ft_topic_trie *trie, struct reader *reader, const char *filter)
{
    cr_assert_eq(ft_filter_check(ft_slice_str(filter), NULL), FT_OK, "%s", filter);
    snprintf(reader->filter, sizeof(reader->filter), "%s", filter);
    ft_topic_trie_add(trie, ft_slice_str(filter), &reader->sub);
}

static void take_out(struct ft_topic_trie *trie, struct reader *reader)
{
    ft_topic_trie_remove(trie, &reader->sub);
    reader->filter[0] = '\0';
}

/* The number of subscribers that a topic reaches. */
static unsigned reach(struct ft_topic_trie *trie, const char *topic)
{
    const struct ft_trie_set *sets;
    uint32_t n = ft_topic_trie_match(trie, ft_slice_str(topic), &sets);
    unsigned count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += sets[i].count;
    return count;
}

/* Asserts that a topic reaches exactly the readers whose filters match it, each once. */
static void assert_like_twin(struct ft_topic_trie *trie, struct reader *readers, size_t n,
                             const char *topic)
{
    for (size_t i = 0; i < n; i++)
        readers[i].seen = 0;
    const struct ft_trie_set *sets;
    uint32_t found = ft_topic_trie_match(trie, ft_slice_str(topic), &sets);
    for (uint32_t i = 0; i < found; i++) {
        cr_assert_gt(sets[i].count, 0);
        for (uint32_t j = 0; j < sets[i].count; j++)
            ((struct reader *)sets[i].subs[j])->seen++; /* `sub` is its first member */
    }
    for (size_t i = 0; i < n; i++) {
        bool wanted = readers[i].filter[0] != '\0' &&
                      ft_filter_matches(ft_slice_str(readers[i].filter), ft_slice_str(topic));
        cr_assert_eq(readers[i].seen, wanted ? 1 : 0, "topic %s, filter %s: seen %u times", topic,
                     readers[i].filter, readers[i].seen);
    }
}

Test(topic_trie, an_empty_trie_matches_nothing)
{
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    cr_assert_eq(reach(trie, "a/b/c"), 0);
    cr_assert_eq(ft_topic_trie_filters(trie), 0);
    cr_assert_null(ft_topic_trie_find(trie, ft_slice_str("a")));
    ft_topic_trie_free(trie);
    ft_topic_trie_free(NULL);
}

Test(topic_trie, wildcards_stand_for_one_level_or_all_that_follow)
{
    static const char *const filters[] = {"a/b", "a/+", "a/#", "+/b", "#", "+", "a/+/c", "a/b/#"};
    struct reader readers[8] = {0};
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    for (size_t i = 0; i < 8; i++)
        add(trie, &readers[i], filters[i]);
    static const char *const topics[] = {"a",     "a/b", "a/",      "/", "//",
                                         "a/b/c", "b",   "a/b/c/d", "/b"};
    for (size_t i = 0; i < 9; i++)
        assert_like_twin(trie, readers, 8, topics[i]);
    cr_assert_eq(reach(trie, "a/b"), 6);
    cr_assert_eq(reach(trie, "a"), 3); /* a/#, #, + */
    ft_topic_trie_free(trie);
}

Test(topic_trie, a_leading_wildcard_does_not_see_the_brokers_topics)
{
    struct reader readers[5] = {0};
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    static const char *const filters[] = {"#", "+/stats", "$sys/#", "$sys/+", "+/+"};
    for (size_t i = 0; i < 5; i++)
        add(trie, &readers[i], filters[i]);
    assert_like_twin(trie, readers, 5, "$sys/stats");
    assert_like_twin(trie, readers, 5, "a/$sys");
    cr_assert_eq(reach(trie, "$sys/stats"), 2);
    cr_assert_eq(reach(trie, "a/stats"), 3);
    ft_topic_trie_free(trie);
}

Test(topic_trie, subscribers_of_one_filter_come_as_one_set)
{
    enum { MANY = 1000 };
    static struct reader readers[MANY];
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    for (size_t i = 0; i < MANY; i++)
        add(trie, &readers[i], "a/b");
    const struct ft_trie_set *sets;
    cr_assert_eq(ft_topic_trie_match(trie, ft_slice_str("a/b"), &sets), 1);
    cr_assert_eq(sets[0].count, MANY);
    cr_assert_eq(ft_topic_trie_filters(trie), 1);
    cr_assert_eq(ft_topic_trie_subs(trie), MANY);

    /* From the middle outward, so that each removal moves another one. */
    for (size_t i = 0; i < MANY; i++) {
        take_out(trie, &readers[(i * 501) % MANY]);
        cr_assert_null(readers[(i * 501) % MANY].sub.node_);
        if (i % 100 == 0)
            assert_like_twin(trie, readers, MANY, "a/b");
    }
    cr_assert_eq(ft_topic_trie_filters(trie), 0);
    cr_assert_eq(ft_topic_trie_subs(trie), 0);
    ft_topic_trie_free(trie);
}

Test(topic_trie, find_knows_filters_and_not_what_lies_on_the_way)
{
    struct reader reader = {0};
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    add(trie, &reader, "a/+/c");
    cr_assert_eq(ft_topic_trie_find(trie, ft_slice_str("a/+/c")), reader.sub.node_);
    cr_assert_null(ft_topic_trie_find(trie, ft_slice_str("a/+")));
    cr_assert_null(ft_topic_trie_find(trie, ft_slice_str("a/b/c")));
    cr_assert_null(ft_topic_trie_find(trie, ft_slice_str("a/+/c/d")));
    ft_topic_trie_free(trie);
}

Test(topic_trie, a_subscribers_filter_can_be_read_back)
{
    char long_level[FT_TOPIC_BYTES_MAX + 1];
    memset(long_level, 'x', FT_TOPIC_BYTES_MAX);
    long_level[FT_TOPIC_BYTES_MAX] = '\0';
    const char *const filters[] = {"a",
                                   "a/b/c",
                                   "/",
                                   "//",
                                   "a//#",
                                   "+/+",
                                   "fifteen-bytes-x",
                                   "sixteen-bytes-xx/y",
                                   long_level,
                                   "/////////////////////////////31"};
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    struct reader readers[10] = {0};
    for (size_t i = 0; i < 10; i++)
        add(trie, &readers[i], filters[i]);
    for (size_t i = 0; i < 10; i++) {
        char out[FT_TOPIC_BYTES_MAX];
        uint32_t n = ft_topic_trie_filter_of(trie, &readers[i].sub, out);
        cr_assert(ft_slice_equal(ft_slice(out, n), ft_slice_str(filters[i])), "%.*s", (int)n, out);
    }
    ft_topic_trie_free(trie);
}

/* All 2^12 ways to write a topic of twelve levels with `+`, and the one topic that all match. */
Test(topic_trie, every_mixture_of_plus_and_text_is_found_at_full_depth)
{
    enum { LEVELS = 12, ALL = 1 << LEVELS };
    struct reader *readers = calloc(ALL, sizeof(*readers));
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    for (unsigned bits = 0; bits < ALL; bits++) {
        char filter[2 * LEVELS];
        for (unsigned i = 0; i < LEVELS; i++) {
            filter[2 * i] = bits >> i & 1 ? '+' : 'a';
            filter[2 * i + 1] = i + 1 < LEVELS ? '/' : '\0';
        }
        add(trie, &readers[bits], filter);
    }
    cr_assert_eq(reach(trie, "a/a/a/a/a/a/a/a/a/a/a/a"), ALL);
    cr_assert_eq(reach(trie, "b/a/a/a/a/a/a/a/a/a/a/a"), ALL / 2);
    cr_assert_eq(reach(trie, "b/b/b/b/b/b/b/b/b/b/b/b"), 1);
    cr_assert_eq(reach(trie, "a/a/a/a/a/a/a/a/a/a/a"), 0);
    ft_topic_trie_free(trie);
    free(readers);
}

Test(topic_trie, thirty_two_levels_of_plus_use_the_whole_stack)
{
    struct reader readers[33] = {0};
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    /* The i-th filter has text up to level i and `+` from there on: one waits at every level. */
    for (unsigned i = 0; i <= 32; i++) {
        char filter[64];
        for (unsigned k = 0; k < 32; k++) {
            filter[2 * k] = k < i ? 'a' : '+';
            filter[2 * k + 1] = k + 1 < 32 ? '/' : '\0';
        }
        add(trie, &readers[i], filter);
    }
    char topic[64];
    for (unsigned k = 0; k < 32; k++)
        memcpy(topic + 2 * k, k + 1 < 32 ? "a/" : "a", 2);
    assert_like_twin(trie, readers, 33, topic);
    cr_assert_eq(reach(trie, topic), 33);
    ft_topic_trie_free(trie);
}

/* --- random operations --- */

/* Writes a random name of few different levels, so that names often meet. Some are empty, some longer
 * than a node has room for, some begin with '$'. */
static void random_name(uint64_t *state, bool may_be_wild, char *out)
{
    static const char *const texts[] = {"a",
                                        "b",
                                        "",
                                        "c",
                                        "sixteen-bytes-xx",
                                        "a-level-that-is-longer-than-a-node",
                                        "$sys",
                                        "é",
                                        "fifteen-bytes-x"};
    unsigned levels = 1 + (unsigned)ft_input_random(state, 4);
    if (ft_input_random(state, 100) == 0)
        levels = 32;
    size_t at = 0;
    for (unsigned i = 0; i < levels; i++) {
        const char *text = texts[ft_input_random(state, levels == 32 ? 4 : 9)];
        unsigned dice = may_be_wild ? (unsigned)ft_input_random(state, 12) : 12;
        if (dice < 2)
            text = "+";
        else if (dice == 2)
            text = "#";
        bool is_last = i + 1 == levels || text[0] == '#';
        at += (size_t)sprintf(out + at, "%s%s", text, is_last ? "" : "/");
        if (is_last)
            break;
    }
    if (at == 0)
        strcpy(out, "a"); /* the empty name is none */
}

static void check_random_operations(struct ft_topic_trie *trie, uint64_t seed, unsigned operations,
                                    size_t readers_count)
{
    fprintf(stderr, "topic_trie: seed %llu\n", (unsigned long long)seed);
    struct reader *readers = calloc(readers_count, sizeof(*readers));
    uint64_t state = seed;
    uint64_t under = 0;
    for (unsigned i = 0; i < operations; i++) {
        struct reader *reader = &readers[ft_input_random(&state, readers_count)];
        char name[FT_TOPIC_BYTES_MAX + 1];
        if (reader->filter[0] == '\0') {
            random_name(&state, true, name);
            add(trie, reader, name);
            under++;
        } else {
            take_out(trie, reader);
            under--;
        }
        random_name(&state, false, name);
        assert_like_twin(trie, readers, readers_count, name);
        cr_assert_eq(ft_topic_trie_subs(trie), under);
    }
    for (size_t i = 0; i < readers_count; i++) {
        if (readers[i].filter[0] == '\0')
            continue;
        char out[FT_TOPIC_BYTES_MAX];
        uint32_t n = ft_topic_trie_filter_of(trie, &readers[i].sub, out);
        cr_assert(ft_slice_equal(ft_slice(out, n), ft_slice_str(readers[i].filter)));
        cr_assert_eq(ft_topic_trie_find(trie, ft_slice(out, n)), readers[i].sub.node_);
        take_out(trie, &readers[i]);
    }
    cr_assert_eq(ft_topic_trie_filters(trie), 0);
    cr_assert_eq(reach(trie, "a"), 0);
    free(readers);
}

Test(topic_trie, random_operations_agree_with_a_list_of_filters)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct ft_topic_trie *trie = ft_topic_trie_new(seed * SEED);
        check_random_operations(trie, seed, 10000, 300);
        ft_topic_trie_free(trie);
    }
}

Test(topic_trie, hashes_that_collide_cost_time_and_no_false_match)
{
    for (unsigned bits = 0; bits <= 4; bits += 2) {
        struct ft_topic_trie *trie = ft_topic_trie_new_colliding(SEED, bits);
        check_random_operations(trie, 100 + bits, 3000, 100);
        ft_topic_trie_free(trie);
    }
}

/* Three shapes, with inner nodes of their own: a node of any kind that is left behind is seen. */
static uint32_t write_unique(unsigned i, char *out, size_t cap)
{
    if (i % 3 == 0)
        return (uint32_t)snprintf(out, cap, "fleet-%u/a-level-longer-than-a-node/%u", i, i);
    if (i % 3 == 1)
        return (uint32_t)snprintf(out, cap, "%u/+/%u", i, i);
    return (uint32_t)snprintf(out, cap, "%u/x%u/#", i, i);
}

Test(topic_trie, filters_that_come_and_go_leave_no_memory_behind, .timeout = 60)
{
    enum { MANY = 200000 };
    struct ft_trie_sub *subs = calloc(MANY, sizeof(*subs));
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    size_t fresh = ft_topic_trie_bytes(trie);
    size_t peak = 0;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            char filter[64];
            ft_topic_trie_add(trie, ft_slice(filter, write_unique(i, filter, sizeof(filter))),
                              &subs[i]);
        }
        cr_assert_eq(ft_topic_trie_filters(trie), MANY);
        size_t bytes = ft_topic_trie_bytes(trie);
        cr_assert(peak == 0 || bytes == peak, "round %u holds %zu bytes, not %zu", round, bytes,
                  peak);
        peak = bytes;
        for (unsigned i = 0; i < MANY; i++)
            ft_topic_trie_remove(trie, &subs[(uint64_t)i * 7919 % MANY]);
        cr_assert_eq(ft_topic_trie_filters(trie), 0);
        /* One slab in reserve, and the list of slabs. */
        cr_assert_leq(ft_topic_trie_bytes(trie), fresh + sizeof(struct ft_trie_slab) + 8192);
    }
    ft_topic_trie_free(trie);
    free(subs);
}

Test(topic_trie, filters_that_share_their_upper_levels_take_less_than_200_bytes_each)
{
    enum { MANY = 100000 };
    struct ft_trie_sub *subs = calloc(MANY, sizeof(*subs));
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    for (unsigned i = 0; i < MANY; i++) {
        char filter[64];
        int n =
            snprintf(filter, sizeof(filter), "fleet/%u/a-level-longer-than-a-node/%u", i % 1000, i);
        ft_topic_trie_add(trie, ft_slice(filter, (size_t)n), &subs[i]);
    }
    cr_assert_lt(ft_topic_trie_bytes(trie) / MANY, 200);
    ft_topic_trie_free(trie);
    free(subs);
}

Test(topic_trie, subscribers_that_leave_give_their_memory_back)
{
    enum { MANY = 10000 };
    struct ft_trie_sub *subs = calloc(MANY, sizeof(*subs));
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    ft_topic_trie_add(trie, ft_slice_str("a"), &subs[0]);
    size_t alone = ft_topic_trie_bytes(trie);
    for (unsigned i = 1; i < MANY; i++)
        ft_topic_trie_add(trie, ft_slice_str("a"), &subs[i]);
    cr_assert_gt(ft_topic_trie_bytes(trie), alone + MANY * sizeof(void *));
    for (unsigned i = MANY - 1; i > 2; i--)
        ft_topic_trie_remove(trie, &subs[i]);
    cr_assert_lt(ft_topic_trie_bytes(trie), alone + 128);
    ft_topic_trie_remove(trie, &subs[0]);
    ft_topic_trie_remove(trie, &subs[1]);
    cr_assert_eq(ft_topic_trie_bytes(trie), alone);
    cr_assert_eq(reach(trie, "a"), 1);
    ft_topic_trie_free(trie);
    free(subs);
}

Test(topic_trie, one_filter_at_the_edge_of_a_slab_does_not_allocate_each_time_it_comes)
{
    struct ft_trie_sub subs[FT_TRIE_SLAB_NODES] = {0};
    struct ft_topic_trie *trie = ft_topic_trie_new(SEED);
    for (unsigned i = 0; i + 1 < FT_TRIE_SLAB_NODES; i++) { /* the root is the first node */
        char filter[16];
        int n = snprintf(filter, sizeof(filter), "%u", i);
        ft_topic_trie_add(trie, ft_slice(filter, (size_t)n), &subs[i]);
    }
    size_t full = ft_topic_trie_bytes(trie);
    struct ft_trie_sub *last = &subs[FT_TRIE_SLAB_NODES - 1];
    ft_topic_trie_add(trie, ft_slice_str("x"), last);
    size_t spilled = ft_topic_trie_bytes(trie);
    cr_assert_geq(spilled, full + sizeof(struct ft_trie_slab));
    for (unsigned round = 0; round < 10; round++) {
        ft_topic_trie_remove(trie, last);
        cr_assert_eq(ft_topic_trie_bytes(trie), spilled);
        ft_topic_trie_add(trie, ft_slice_str("x"), last);
    }
    ft_topic_trie_free(trie);
}
