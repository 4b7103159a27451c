/*
 * Names as topics and filters: `FILTER \n TOPIC`. Validity, matching, covering and the trie have to
 * agree with each other on whatever comes.
 */
#include "broker/core/topic_trie.h"
#include "protocol/topic.h"
#include "protocol/utf8.h"
#include "tests/fuzz/check.h"

/* What is refused is refused with a sentence that can be shown. */
static bool is_filter(struct ft_slice name)
{
    struct ft_problem problem = {.text = ""};
    enum ft_err err = ft_filter_check(name, &problem);
    CHECK(err == ft_filter_check(name, NULL));
    CHECK(err == FT_OK || err == FT_ERR_BAD_FILTER);
    CHECK((err == FT_OK) == (problem.text[0] == '\0'));
    CHECK(ft_utf8_is_valid(ft_slice_str(problem.text)));
    return err == FT_OK;
}

/* A topic is a filter without wildcards, and the other way round. */
static bool is_topic(struct ft_slice name)
{
    enum ft_err err = ft_topic_check(name, NULL);
    CHECK(err == FT_OK || err == FT_ERR_BAD_TOPIC);
    CHECK((err == FT_OK) == (ft_filter_check(name, NULL) == FT_OK && ft_filter_is_exact(name)));
    return err == FT_OK;
}

/* Levels joined again are the name. */
static void check_levels(struct ft_slice name)
{
    struct ft_slice level;
    size_t at = 0, next = 0, levels = 0;
    while (ft_topic_next_level(name, &next, &level)) {
        CHECK(level.len == 0 || memchr(level.ptr, '/', level.len) == NULL);
        CHECK(level.ptr == name.ptr + at);
        at += level.len + 1;
        levels++;
    }
    CHECK(at == name.len + 1 && levels >= 1 && levels <= FT_TOPIC_LEVELS_MAX);
}

/* The trie finds the filter exactly where the definition says. */
static void check_trie(struct ft_slice filter, struct ft_slice topic)
{
    struct ft_topic_trie *trie = ft_topic_trie_new_colliding(1, filter.len % 33);
    struct ft_trie_sub sub = {0}, other = {0};
    ft_topic_trie_add(trie, filter, &sub);
    ft_topic_trie_add(trie, topic, &other);
    char out[FT_TOPIC_BYTES_MAX];
    CHECK(ft_slice_equal(ft_slice(out, ft_topic_trie_filter_of(trie, &sub, out)), filter));
    CHECK(ft_topic_trie_find(trie, filter) == sub.node_);

    const struct ft_trie_set *sets;
    uint32_t n = ft_topic_trie_match(trie, topic, &sets);
    unsigned seen = 0, other_seen = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < sets[i].count; k++) {
            seen += sets[i].subs[k] == &sub;
            other_seen += sets[i].subs[k] == &other;
        }
    CHECK(seen == ft_filter_matches(filter, topic));
    CHECK(other_seen == 1);
    ft_topic_trie_remove(trie, &sub);
    ft_topic_trie_remove(trie, &other);
    CHECK(ft_topic_trie_filters(trie) == 0 && ft_topic_trie_subs(trie) == 0);
    ft_topic_trie_free(trie);
}

static void check_pair(struct ft_slice a, struct ft_slice b)
{
    CHECK(ft_filter_covers(a, a));
    CHECK(ft_filter_covers(b, b));
    /* A filter that covers an exact one matches it, and the other way round. */
    if (ft_filter_is_exact(b)) {
        CHECK(ft_filter_covers(a, b) == ft_filter_matches(a, b));
        check_trie(a, b);
    }
    if (ft_filter_is_exact(a) && ft_filter_covers(a, b))
        CHECK(ft_slice_equal(a, b));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const uint8_t *split = len ? memchr(bytes, '\n', len) : NULL;
    size_t first_len = split ? (size_t)(split - bytes) : len;
    struct ft_slice first = ft_slice(bytes, first_len);
    struct ft_slice second =
        split ? ft_slice(split + 1, len - first_len - 1) : ft_slice(bytes, len);
    is_topic(first);
    is_topic(second);
    bool are_filters = is_filter(first);
    are_filters &= is_filter(second);
    if (!are_filters)
        return 0;
    check_levels(first);
    check_levels(second);
    check_pair(first, second);
    check_pair(second, first);
    return 0;
}
