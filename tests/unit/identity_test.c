/* Identities: what rules grant, against a twin that tries every topic of a small world. */
#include "broker/core/identity.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/topic.h"
#include "tests/unit/support/input.h"

#define SEED 20261121

static struct ft_identity *identity_of(const char *user)
{
    return ft_identity_new(&(struct ft_identity_spec){
        .user = user ? ft_slice_str(user) : ft_slice(NULL, 0),
    });
}

static void allow(struct ft_identity *identity, enum ft_right right, const char *rule)
{
    struct ft_problem problem;
    cr_assert_eq(ft_identity_allow(identity, right, ft_slice_str(rule), &problem), FT_OK, "%s",
                 rule);
}

static bool may_sub(const struct ft_identity *identity, const char *filter)
{
    return ft_identity_may_sub(identity, ft_slice_str(filter));
}

static bool may_pub(const struct ft_identity *identity, const char *topic)
{
    return ft_identity_may_pub(identity, ft_slice_str(topic));
}

/* What one rule grants a user, asked of one topic. */
static bool grants(const char *user, const char *rule, const char *topic)
{
    struct ft_identity *identity = identity_of(user);
    allow(identity, FT_RIGHT_SUB, rule);
    bool granted = may_sub(identity, topic);
    ft_identity_unref(identity);
    return granted;
}

Test(identity, who_has_no_rule_may_nothing)
{
    struct ft_identity *nobody = identity_of(NULL);
    cr_expect_not(may_sub(nobody, "a"));
    cr_expect_not(may_sub(nobody, "#"));
    cr_expect_not(may_pub(nobody, "a"));
    cr_expect_null(ft_identity_user(nobody).ptr);
    cr_expect_not(ft_identity_is_admin(nobody));
    cr_expect_eq(ft_identity_expires_ms(nobody), 0);
    ft_identity_unref(nobody);
}

Test(identity, it_is_what_it_was_made_of)
{
    char user[] = "alice";
    struct ft_identity *alice = ft_identity_new(&(struct ft_identity_spec){
        .user = ft_slice_str(user),
        .expires_ms = 1763700000000,
        .is_admin = true,
    });
    user[0] = 'X';
    cr_expect(ft_slice_equal(ft_identity_user(alice), ft_slice_str("alice")), "it is a copy");
    cr_expect_eq(ft_identity_expires_ms(alice), 1763700000000);
    cr_expect(ft_identity_is_admin(alice));
    cr_expect_eq(ft_identity_ref(alice), alice);
    ft_identity_unref(alice);
    cr_expect(ft_identity_is_admin(alice), "one reference is left");
    ft_identity_unref(alice);
    ft_identity_unref(NULL);
}

Test(identity, an_empty_user_is_not_an_absent_one)
{
    struct ft_identity *empty = identity_of("");
    cr_expect_not_null(ft_identity_user(empty).ptr);
    cr_expect_eq(ft_identity_user(empty).len, 0);
    ft_identity_unref(empty);
}

Test(identity, subscribing_and_publishing_are_two_rights)
{
    struct ft_identity *alice = identity_of("alice");
    allow(alice, FT_RIGHT_SUB, "chat/#");
    allow(alice, FT_RIGHT_PUB, "chat/+/says");
    cr_expect(may_sub(alice, "chat/#"));
    cr_expect(may_sub(alice, "chat/a/+"));
    cr_expect_not(may_sub(alice, "#"));
    cr_expect_not(may_sub(alice, "+/a"));
    cr_expect(may_pub(alice, "chat/a/says"));
    cr_expect_not(may_pub(alice, "chat/a"));
    cr_expect_not(may_pub(alice, "chat/a/says/more"));
    ft_identity_unref(alice);
}

/* Two rules that together leave nothing out are still not one that covers. */
Test(identity, one_rule_has_to_cover_all_of_a_filter)
{
    struct ft_identity *alice = identity_of("alice");
    allow(alice, FT_RIGHT_SUB, "a");
    allow(alice, FT_RIGHT_SUB, "a/+/#");
    cr_expect_not(may_sub(alice, "a/#"));
    cr_expect(may_sub(alice, "a/b/#"));
    ft_identity_unref(alice);
}

Test(identity, percent_u_stands_for_the_user_as_a_whole_level)
{
    cr_expect(grants("alice", "inbox/%u", "inbox/alice"));
    cr_expect(grants("alice", "%u/#", "alice/a/b"));
    cr_expect(grants("alice", "%u", "alice"));
    cr_expect(grants("alice", "%u/%u", "alice/alice"));
    cr_expect(grants("alice", "a/%u/+", "a/alice/b"));
    cr_expect(grants("alice", "/%u/", "/alice/"));
    cr_expect(grants("$alice", "a/%u", "a/$alice"));
    cr_expect(grants("alice", "$presence/%u", "$presence/alice"));
    cr_expect_not(grants("alice", "inbox/%u", "inbox/bob"));
    cr_expect_not(grants("alice", "inbox/%u", "inbox/%u"));
}

Test(identity, percent_u_inside_a_level_is_text)
{
    cr_expect_not(grants("alice", "to-%u", "to-alice"));
    cr_expect(grants("alice", "to-%u", "to-%u"));
    cr_expect(grants("alice", "a/%u%u", "a/%u%u"));
    cr_expect(grants("alice", "a/%U", "a/%U"));
    cr_expect(grants("%u", "a/%u", "a/%u"), "put in once, not again");
}

Test(identity, a_user_that_is_no_level_gets_nothing_by_percent_u)
{
    static const char *const users[] = {"",   "/",  "a/b", "+",    "#",        "a+",
                                        "#b", "\n", "a/",  "\x7f", "\xff\xfe", "a\x01z"};
    for (size_t i = 0; i < sizeof(users) / sizeof(*users); i++) {
        struct ft_identity *identity = identity_of(users[i]);
        allow(identity, FT_RIGHT_SUB, "in/%u");
        allow(identity, FT_RIGHT_SUB, "%u/#");
        allow(identity, FT_RIGHT_PUB, "in/%u");
        allow(identity, FT_RIGHT_SUB, "open/#");
        static const char *const topics[] = {"in/a", "in/", "in/a/b", "a", "/", "a/b", "in"};
        for (size_t t = 0; t < sizeof(topics) / sizeof(*topics); t++) {
            cr_expect_not(may_sub(identity, topics[t]), "user %zu, %s", i, topics[t]);
            cr_expect_not(may_pub(identity, topics[t]), "user %zu, %s", i, topics[t]);
        }
        cr_expect_not(may_sub(identity, "#"));
        cr_expect_not(may_sub(identity, "in/+"));
        cr_expect(may_sub(identity, "open/door"), "other rules hold");
        ft_identity_unref(identity);
    }
    cr_expect_not(grants(NULL, "in/%u", "in/"));
    cr_expect_not(grants(NULL, "%u", "%u"));
}

Test(identity, a_nul_in_a_user_is_not_the_end_of_it)
{
    struct ft_identity *identity =
        ft_identity_new(&(struct ft_identity_spec){.user = ft_slice("bob\0x", 5)});
    allow(identity, FT_RIGHT_SUB, "in/%u");
    cr_expect_not(may_sub(identity, "in/bob"));
    ft_identity_unref(identity);
}

/* Or whoever may choose a name would choose $presence. */
Test(identity, no_name_opens_what_is_the_brokers)
{
    cr_expect_not(grants("$presence", "%u/#", "$presence/a"));
    cr_expect_not(grants("$presence", "%u", "$presence"));
    cr_expect_not(grants("$sys", "%u/#", "$sys/n1/stats"));
    cr_expect(grants("$sys", "a/%u", "a/$sys"));
}

Test(identity, a_rule_that_would_be_too_long_with_the_user_grants_nothing)
{
    char user[FT_TOPIC_BYTES_MAX + 2] = "", topic[FT_TOPIC_BYTES_MAX + 5];
    for (size_t len = FT_TOPIC_BYTES_MAX - 3; len <= FT_TOPIC_BYTES_MAX + 1; len++) {
        memset(user, 'x', len);
        user[len] = '\0';
        snprintf(topic, sizeof(topic), "a/%s", user);
        bool is_topic = ft_topic_check(ft_slice_str(topic), NULL) == FT_OK;
        struct ft_identity *identity = identity_of(user);
        allow(identity, FT_RIGHT_SUB, "a/%u");
        cr_expect_eq(may_sub(identity, topic), is_topic, "%zu", len);
        cr_expect_not(may_sub(identity, "a/x"));
        ft_identity_unref(identity);
    }
}

Test(identity, a_rule_that_is_no_filter_is_refused_and_named)
{
    struct ft_identity *alice = identity_of("alice");
    struct ft_problem problem = {0};
    cr_assert_eq(ft_identity_allow(alice, FT_RIGHT_SUB, ft_slice_str("a/#/b"), &problem),
                 FT_ERR_BAD_FILTER);
    cr_assert_str_eq(problem.text, "filter \"a/#/b\" has '#' before its last level");
    cr_assert_eq(ft_identity_allow(alice, FT_RIGHT_PUB, ft_slice_str(""), NULL), FT_ERR_BAD_FILTER);
    cr_assert_eq(ft_identity_allow(alice, FT_RIGHT_PUB, ft_slice_str("a+"), NULL),
                 FT_ERR_BAD_FILTER);
    cr_expect_not(may_sub(alice, "a/b"));
    ft_identity_unref(alice);
}

Test(identity, sys_is_an_admins_whatever_the_rules_say)
{
    static const char *const filters[] = {"$sys", "$sys/#", "$sys/+/stats", "$sys/n1/stats",
                                          "$sys/"};
    struct ft_identity *admin = ft_identity_new(&(struct ft_identity_spec){.is_admin = true});
    struct ft_identity *other = ft_identity_new(&(struct ft_identity_spec){.may_everything = true});
    allow(other, FT_RIGHT_SUB, "$sys/#");
    allow(other, FT_RIGHT_SUB, "#");
    for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
        cr_expect(may_sub(admin, filters[i]), "%s", filters[i]);
        cr_expect_not(may_sub(other, filters[i]), "%s", filters[i]);
    }
    cr_expect_not(may_sub(admin, "a"), "to be an admin is no permission for topics");
    cr_expect_not(may_sub(admin, "$presence/a"));
    cr_expect_not(may_sub(admin, "$system"));
    cr_expect(may_sub(other, "$system"));
    ft_identity_unref(admin);
    ft_identity_unref(other);
}

Test(identity, presence_needs_a_rule_that_covers_it)
{
    struct ft_identity *alice = identity_of("alice");
    allow(alice, FT_RIGHT_SUB, "#");
    allow(alice, FT_RIGHT_SUB, "+/a");
    cr_expect_not(may_sub(alice, "$presence/a"));
    cr_expect(may_sub(alice, "presence/a"));
    allow(alice, FT_RIGHT_SUB, "$presence/+");
    cr_expect(may_sub(alice, "$presence/a"));
    cr_expect_not(may_sub(alice, "$presence/#"));
    ft_identity_unref(alice);
}

Test(identity, nobody_publishes_to_the_brokers_topics)
{
    struct ft_identity *all =
        ft_identity_new(&(struct ft_identity_spec){.may_everything = true, .is_admin = true});
    allow(all, FT_RIGHT_PUB, "$sys/#");
    allow(all, FT_RIGHT_PUB, "#");
    cr_expect_not(may_pub(all, "$sys/x"));
    cr_expect_not(may_pub(all, "$x"));
    cr_expect_not(may_pub(all, "$presence/a"));
    cr_expect(may_pub(all, "a/$x"));
    ft_identity_unref(all);
}

Test(identity, who_may_everything_needs_no_rule)
{
    struct ft_identity *open = ft_identity_new(&(struct ft_identity_spec){.may_everything = true});
    static const char *const filters[] = {"a", "#", "+/+", "/", "$x", "$share/g/t", "$presence/#"};
    for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++)
        cr_expect(may_sub(open, filters[i]), "%s", filters[i]);
    cr_expect(may_pub(open, "a/b"));
    ft_identity_unref(open);
}

/* ---- random rules, and the twin ---- */

enum { WORLD_MAX = 1500, RULES = 3 };

struct world {
    char topics[WORLD_MAX][16];
    size_t count;
};

/* Fills in every topic of up to four levels over a small alphabet; "z" is in no rule. */
static void fill(struct world *world, const char *prefix, unsigned levels)
{
    static const char *const texts[] = {"a", "b", "$p", "", "z"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        char name[16];
        snprintf(name, sizeof(name), "%s%s", prefix, texts[i]);
        if (name[0] != '\0') {
            cr_assert_lt(world->count, WORLD_MAX);
            strcpy(world->topics[world->count++], name);
        }
        strcat(name, "/");
        if (levels > 1)
            fill(world, name, levels - 1);
    }
}

static void random_filter(uint64_t *state, bool with_user, char out[24])
{
    static const char *const texts[] = {"a", "b", "+", "", "$p", "%u"};
    do {
        out[0] = '\0';
        uint64_t levels = 1 + ft_input_random(state, 3);
        for (uint64_t i = 0; i < levels; i++) {
            strcat(out, i > 0 ? "/" : "");
            bool is_hash = i == levels - 1 && ft_input_random(state, 3) == 0;
            strcat(out, is_hash ? "#" : texts[ft_input_random(state, with_user ? 6 : 5)]);
        }
    } while (ft_filter_check(ft_slice_str(out), NULL) != FT_OK);
}

/* The rule with the user in it, by hand. */
static void substitute(const char *rule, char user, char out[24])
{
    for (; *rule; rule++) {
        if (*rule == '%')
            rule++;
        *out++ = *rule == 'u' ? user : *rule;
    }
    *out = '\0';
}

static bool all_within(const struct world *world, const char *rule, const char *filter)
{
    for (size_t t = 0; t < world->count; t++) {
        struct ft_slice topic = ft_slice_str(world->topics[t]);
        if (ft_filter_matches(ft_slice_str(filter), topic) &&
            !ft_filter_matches(ft_slice_str(rule), topic))
            return false;
    }
    return true;
}

/* Filters have up to three levels and topics up to four, so what holds of these holds of all. */
Test(identity, random_rules_grant_what_a_twin_finds_by_trying_every_topic, .timeout = 60)
{
    struct world *world = calloc(1, sizeof(*world));
    fill(world, "", 4);
    uint64_t state = SEED;
    unsigned granted = 0, published = 0;
    for (unsigned round = 0; round < 4000; round++) {
        char user[2] = {"ab"[ft_input_random(&state, 2)]}, rules[RULES][24], filter[24];
        struct ft_identity *identity = identity_of(user);
        for (int i = 0; i < RULES; i++) {
            char rule[24];
            random_filter(&state, true, rule);
            substitute(rule, user[0], rules[i]);
            allow(identity, FT_RIGHT_SUB, rule);
            allow(identity, FT_RIGHT_PUB, rule);
        }
        random_filter(&state, false, filter);
        const char *topic = world->topics[ft_input_random(&state, world->count)];
        bool is_covered = false, is_matched = false;
        for (int i = 0; i < RULES; i++) {
            is_covered = is_covered || all_within(world, rules[i], filter);
            is_matched =
                is_matched || ft_filter_matches(ft_slice_str(rules[i]), ft_slice_str(topic));
        }
        is_matched = is_matched && topic[0] != '$';
        cr_assert_eq(may_sub(identity, filter), is_covered, "%s by %s %s %s", filter, rules[0],
                     rules[1], rules[2]);
        cr_assert_eq(may_pub(identity, topic), is_matched, "%s by %s %s %s", topic, rules[0],
                     rules[1], rules[2]);
        granted += is_covered;
        published += is_matched;
        ft_identity_unref(identity);
    }
    cr_assert_gt(granted, 300);
    cr_assert_gt(published, 300);
    free(world);
}
