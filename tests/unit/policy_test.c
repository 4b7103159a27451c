/* Policies by topic against a slow, obvious twin: a list of rules, ft_filter_matches(), and the order
 * of filters as it is written down. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "broker/core/policy.h"
#include "protocol/topic.h"
#include "tests/unit/support/input.h"

#define SEED 20261121

static struct ft_policies *policies;

static void begin(void)
{
    policies = ft_policies_new();
}

static void end(void)
{
    ft_policies_free(policies);
}

TestSuite(policy, .init = begin, .fini = end);

/* Adds a rule that can be told from others by its history. */
static bool add(const char *filter, uint32_t history)
{
    cr_assert_eq(ft_filter_check(ft_slice_str(filter), NULL), FT_OK, "%s", filter);
    return ft_policies_add(policies, ft_slice_str(filter), &(struct ft_policy){.history = history});
}

#define assert_rule(topic, wanted)                                                              \
    do {                                                                                        \
        struct ft_slice won_;                                                                   \
        ft_policies_find(policies, ft_slice_str(topic), &won_);                                 \
        cr_assert(ft_slice_equal(won_, ft_slice_str(wanted)), "%s: %.*s", topic, (int)won_.len, \
                  (const char *)won_.ptr);                                                      \
    } while (0)

Test(policy, without_rules_the_default_holds)
{
    struct ft_slice filter = ft_slice_str("x");
    const struct ft_policy *found = ft_policies_find(policies, ft_slice_str("a/b"), &filter);

    cr_assert_eq(filter.len, 0);
    cr_assert(!found->retain && !found->ephemeral && found->slow == FT_SLOW_PARK);
    cr_assert(found->history == 0 && found->ttl_s == 0 && found->max_message == 0);
    cr_assert_eq(ft_policies_find(NULL, ft_slice_str("a/b"), NULL), found);
    cr_assert_eq(ft_policies_count(NULL), 0);
    ft_policies_free(NULL);
}

Test(policy, a_rule_holds_whole_for_what_its_filter_matches)
{
    struct ft_policy ticker = {.retain = true, .slow = FT_SLOW_LATEST, .ttl_s = 5};
    struct ft_slice filter;

    cr_assert(add("#", 100));
    cr_assert(ft_policies_add(policies, ft_slice_str("ticker/+"), &ticker));
    const struct ft_policy *found = ft_policies_find(policies, ft_slice_str("ticker/a"), &filter);
    cr_assert(ft_slice_equal(filter, ft_slice_str("ticker/+")));
    cr_assert(found->retain && found->slow == FT_SLOW_LATEST && found->ttl_s == 5);
    cr_assert_eq(found->history, 0, "nothing comes from the less specific rule");
    found = ft_policies_find(policies, ft_slice_str("ticker/a/b"), NULL);
    cr_assert_eq(found->history, 100);
}

Test(policy, a_filter_has_one_rule)
{
    cr_assert(add("a/+/#", 1));
    cr_assert_not(add("a/+/#", 2));
    cr_assert(add("a/+", 3));
    cr_assert_not(add("a/+", 4));
    cr_assert_eq(ft_policies_count(policies), 2);
    cr_assert_eq(ft_policies_find(policies, ft_slice_str("a/b/c"), NULL)->history, 1);
    cr_assert_eq(ft_policies_find(policies, ft_slice_str("a/b"), NULL)->history, 3);
}

Test(policy, rules_are_listed_in_the_order_of_adding)
{
    static const char *const filters[] = {"#", "b", "a/+", "a"};
    for (uint32_t i = 0; i < 4; i++)
        cr_assert(add(filters[i], i));
    for (uint32_t i = 0; i < 4; i++) {
        struct ft_slice filter;
        cr_assert_eq(ft_policies_at(policies, i, &filter)->history, i);
        cr_assert(ft_slice_equal(filter, ft_slice_str(filters[i])));
    }
}

Test(policy, literals_go_before_plus_before_hash_from_the_left)
{
    static const char *const filters[] = {"#",       "+/+",  "+/42",     "chat/#", "chat/+",
                                          "chat/42", "chat", "chat/+/x", "+/42/#", "+"};
    for (uint32_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
        cr_assert(add(filters[i], i));
    assert_rule("chat/42", "chat/42");
    assert_rule("chat/43", "chat/+");
    assert_rule("chat", "chat");
    assert_rule("chat/43/x", "chat/+/x");
    assert_rule("chat/42/x", "chat/+/x");
    assert_rule("chat/42/y", "chat/#");
    assert_rule("news/42", "+/42");
    assert_rule("news/42/y", "+/42/#");
    assert_rule("news/43", "+/+");
    assert_rule("news", "+");
    assert_rule("news/43/y", "#");
}

Test(policy, the_end_of_a_filter_goes_before_hash)
{
    cr_assert(add("a/#", 1));
    assert_rule("a", "a/#");
    cr_assert(add("+", 2));
    assert_rule("a", "a/#");
    cr_assert(add("a", 3));
    assert_rule("a", "a");
    assert_rule("b", "+");
}

Test(policy, a_literal_that_leads_nowhere_gives_way_to_a_wildcard)
{
    cr_assert(add("a/b/c/d", 1));
    cr_assert(add("a/+/c/+", 2));
    cr_assert(add("+/b/#", 3));
    assert_rule("a/b/c/d", "a/b/c/d");
    assert_rule("a/b/c/e", "a/+/c/+");
    assert_rule("a/b/x/d", "+/b/#");
    assert_rule("a/x/x/d", "");
}

Test(policy, a_leading_wildcard_does_not_reach_the_brokers_topics)
{
    cr_assert(add("#", 1));
    cr_assert(add("+/stats", 2));
    assert_rule("$sys/stats", "");
    cr_assert(add("$sys/#", 3));
    assert_rule("$sys/stats", "$sys/#");
    assert_rule("a/stats", "+/stats");
    assert_rule("a/$sys", "#");
}

Test(policy, empty_levels_and_the_longest_names_are_found)
{
    char deep[FT_TOPIC_LEVELS_MAX * 2] = "", longest[FT_TOPIC_BYTES_MAX + 1];

    for (int i = 0; i < FT_TOPIC_LEVELS_MAX; i++)
        strcat(deep, i > 0 ? "/x" : "x");
    memset(longest, 'y', FT_TOPIC_BYTES_MAX);
    longest[FT_TOPIC_BYTES_MAX] = '\0';
    cr_assert(add(deep, 1));
    cr_assert(add(longest, 2));
    cr_assert(add("//+", 3));
    assert_rule(deep, deep);
    assert_rule(longest, longest);
    assert_rule("//", "//+");
    assert_rule("/a/", "");
}

/* ---- the twin ---- */

#define RULES 200

struct twin {
    char filters[RULES][64];
    uint32_t count;
};

/* How a level is ranked: the lower, the more specific. */
static int rank(bool is_there, struct ft_slice level)
{
    if (is_there && level.len == 1 && level.ptr[0] == '#')
        return 2;
    return is_there && level.len == 1 && level.ptr[0] == '+' ? 1 : 0;
}

/* Says whether `a` is more specific than `b`; both match one topic. */
static bool is_before(const char *a, const char *b)
{
    size_t a_at = 0, b_at = 0;
    for (;;) {
        struct ft_slice a_level, b_level;
        bool a_is = ft_topic_next_level(ft_slice_str(a), &a_at, &a_level);
        bool b_is = ft_topic_next_level(ft_slice_str(b), &b_at, &b_level);
        int difference = rank(a_is, a_level) - rank(b_is, b_level);
        if (difference != 0 || !a_is || !b_is)
            return difference < 0;
    }
}

static const char *find_slowly(const struct twin *twin, const char *topic)
{
    const char *best = "";
    for (uint32_t i = 0; i < twin->count; i++) {
        const char *filter = twin->filters[i];
        if (ft_filter_matches(ft_slice_str(filter), ft_slice_str(topic)) &&
            (best[0] == '\0' || is_before(filter, best)))
            best = filter;
    }
    return best;
}

/* Makes a topic or a filter of 1 to 6 levels from a small alphabet, so that they meet often. */
static void invent(uint64_t *state, bool is_filter, char out[64])
{
    static const char *const texts[] = {"a", "b", "ab", "", "$x", "+", "#"};
    do {
        uint64_t levels = 1 + ft_input_random(state, 6);
        out[0] = '\0';
        for (uint64_t i = 0; i < levels; i++) {
            bool is_last = i + 1 == levels;
            uint64_t kinds = !is_filter ? 5 : is_last ? 7 : 6;
            strcat(out, i > 0 ? "/" : "");
            strcat(out, texts[ft_input_random(state, kinds)]);
        }
    } while (out[0] == '\0');
}

Test(policy, random_rules_win_as_the_twin_says)
{
    static struct twin twin;
    uint64_t state = SEED;
    unsigned wins = 0;

    for (int round = 0; round < 50; round++) {
        twin.count = 0;
        end();
        begin();
        while (twin.count < 1 + (uint32_t)round * (RULES - 1) / 49) {
            char *filter = twin.filters[twin.count];
            invent(&state, true, filter);
            if (add(filter, twin.count))
                twin.count++;
        }
        for (int i = 0; i < 400; i++) {
            char topic[64];
            invent(&state, false, topic);
            const char *wanted = find_slowly(&twin, topic);
            assert_rule(topic, wanted);
            wins += wanted[0] != '\0';
        }
    }
    cr_assert_gt(wins, 5000, "rules won %u of 20000 times: that compares little", wins);
}

Test(policy, a_set_says_whether_presence_is_on_anywhere)
{
    struct ft_policies *set = ft_policies_new();
    cr_expect_not(ft_policies_have_presence(NULL));
    cr_expect_not(ft_policies_have_presence(set));
    cr_assert(ft_policies_add(set, ft_slice_str("a/#"), &(struct ft_policy){.retain = true}));
    cr_expect_not(ft_policies_have_presence(set));
    cr_assert(ft_policies_add(set, ft_slice_str("a/b"), &(struct ft_policy){.presence = true}));
    cr_expect(ft_policies_have_presence(set));
    ft_policies_free(set);
}
