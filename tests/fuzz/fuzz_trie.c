/*
 * The index of filters against its twin, a list. The first byte chooses how many bits of each hash
 * are kept, so that levels collide; then one operation a line:
 *
 *     +FILTER   one more subscriber under the filter
 *     -FILTER   the oldest subscriber under the filter leaves
 *     ?TOPIC    who gets it?
 *
 * A line that is none of these, or names something invalid, is passed over.
 */
#include "broker/core/topic_trie.h"
#include "protocol/topic.h"
#include "tests/fuzz/check.h"

/* Each step compares with the whole list; more would only make a run slow. */
#define READERS_MAX 100

struct reader {
    struct ft_trie_sub sub;
    struct ft_slice filter; /* in the input */
    bool is_in;
    unsigned seen;
};

struct pair {
    struct ft_topic_trie *trie;
    struct reader readers[READERS_MAX];
    uint32_t count; /* readers that ever were in */
};

/* Returns the oldest reader under the filter, or NULL. */
static struct reader *find(struct pair *pair, struct ft_slice filter)
{
    for (uint32_t i = 0; i < pair->count; i++)
        if (pair->readers[i].is_in && ft_slice_equal(pair->readers[i].filter, filter))
            return &pair->readers[i];
    return NULL;
}

static void check_figures(struct pair *pair)
{
    uint32_t filters = 0;
    uint64_t subs = 0;
    for (uint32_t i = 0; i < pair->count; i++) {
        subs += pair->readers[i].is_in;
        filters +=
            pair->readers[i].is_in && find(pair, pair->readers[i].filter) == &pair->readers[i];
    }
    CHECK(ft_topic_trie_subs(pair->trie) == subs);
    CHECK(ft_topic_trie_filters(pair->trie) == filters);
}

static void check_place(struct pair *pair, const struct reader *reader)
{
    char out[FT_TOPIC_BYTES_MAX];
    uint32_t n = ft_topic_trie_filter_of(pair->trie, &reader->sub, out);
    CHECK(ft_slice_equal(ft_slice(out, n), reader->filter));
    CHECK(ft_topic_trie_find(pair->trie, reader->filter) == reader->sub.node_);
}

static void add(struct pair *pair, struct ft_slice filter)
{
    if (pair->count == READERS_MAX)
        return;
    struct reader *reader = &pair->readers[pair->count++];
    *reader = (struct reader){.filter = filter, .is_in = true};
    ft_topic_trie_add(pair->trie, filter, &reader->sub);
    check_place(pair, reader);
}

static void take_out(struct pair *pair, struct reader *reader)
{
    ft_topic_trie_remove(pair->trie, &reader->sub);
    reader->is_in = false;
    CHECK(reader->sub.node_ == NULL);
}

static void take_out_one(struct pair *pair, struct ft_slice filter)
{
    struct reader *reader = find(pair, filter);
    CHECK((ft_topic_trie_find(pair->trie, filter) != NULL) == (reader != NULL));
    if (reader)
        take_out(pair, reader);
}

static void match(struct pair *pair, struct ft_slice topic)
{
    for (uint32_t i = 0; i < pair->count; i++)
        pair->readers[i].seen = 0;
    const struct ft_trie_set *sets;
    uint32_t n = ft_topic_trie_match(pair->trie, topic, &sets);
    for (uint32_t i = 0; i < n; i++) {
        CHECK(sets[i].count > 0);
        for (uint32_t k = 0; k < sets[i].count; k++)
            ((struct reader *)sets[i].subs[k])->seen++; /* `sub` is its first member */
    }
    for (uint32_t i = 0; i < pair->count; i++) {
        const struct reader *reader = &pair->readers[i];
        CHECK(reader->seen == (reader->is_in && ft_filter_matches(reader->filter, topic)));
    }
}

static void carry_out(struct pair *pair, struct ft_slice line)
{
    if (line.len < 2)
        return;
    struct ft_slice name = ft_slice(line.ptr + 1, line.len - 1);
    if (line.ptr[0] == '?') {
        if (ft_topic_check(name, NULL) == FT_OK)
            match(pair, name);
        return;
    }
    if (ft_filter_check(name, NULL) != FT_OK)
        return;
    if (line.ptr[0] == '+')
        add(pair, name);
    else if (line.ptr[0] == '-')
        take_out_one(pair, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    static struct pair pair; /* 100 readers are much for a stack under sanitizers */
    pair.trie = ft_topic_trie_new_colliding(len, bytes[0] % 33);
    pair.count = 0;
    for (size_t at = 1; at < len;) {
        const uint8_t *end = memchr(bytes + at, '\n', len - at);
        size_t n = end ? (size_t)(end - bytes) - at : len - at;
        carry_out(&pair, ft_slice(bytes + at, n));
        check_figures(&pair);
        at += n + 1;
    }
    for (uint32_t i = 0; i < pair.count; i++) {
        if (!pair.readers[i].is_in)
            continue;
        check_place(&pair, &pair.readers[i]);
        take_out(&pair, &pair.readers[i]);
    }
    CHECK(ft_topic_trie_subs(pair.trie) == 0 && ft_topic_trie_filters(pair.trie) == 0);
    ft_topic_trie_free(pair.trie);
    return 0;
}
