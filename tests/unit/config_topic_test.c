/* Sections [topic "FILTER"]: how they are read, what is wrong with them, and which one decides. */
#include "broker/app/config.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/topic.h"

static struct ft_config config;
static struct ft_config_error error;
static char path[] = "/tmp/fantail-config-test-XXXXXX";

static void begin(void)
{
    ft_config_init(&config);
    memset(&error, 0, sizeof(error));
    strcpy(path + strlen(path) - 6, "XXXXXX");
}

static void end(void)
{
    ft_config_fini(&config);
    unlink(path);
}

TestSuite(config_topic, .init = begin, .fini = end);

static int load(const char *text)
{
    int fd = mkstemp(path);

    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return ft_config_load_file(&config, path, &error);
}

/* Loads what is right, and returns the policy that then holds for a topic. */
static const struct ft_policy *policy_of(const char *text, const char *topic)
{
    cr_assert_eq(load(text), 0, "%s", error.text);
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
    return ft_policies_find(config.policies, ft_slice_str(topic), NULL);
}

static void assert_refused(const char *text, const char *fragment)
{
    cr_assert(load(text) != 0 || ft_config_finish(&config, &error) != 0, "taken: %s", text);
    cr_assert(strstr(error.text, fragment), "\"%s\" is not in \"%s\"", fragment, error.text);
    end();
    begin();
}

Test(config_topic, every_setting_reaches_the_policy)
{
    const struct ft_policy *policy =
        policy_of("[topic \"a/#\"]\nretain = yes\nhistory = 100\nttl = 2m\nslow = latest\n"
                  "max_message = 4k\nephemeral = no\n[topic \"b\"]\nephemeral = yes\n"
                  "slow = disconnect\npresence = yes\n",
                  "a/b");

    cr_assert(policy->retain && !policy->ephemeral && !policy->presence);
    cr_assert_eq(policy->history, 100);
    cr_assert_eq(policy->ttl_s, 120);
    cr_assert_eq(policy->slow, FT_SLOW_LATEST);
    cr_assert_eq(policy->max_message, 4096);
    policy = ft_policies_find(config.policies, ft_slice_str("b"), NULL);
    cr_assert(!policy->retain && policy->ephemeral && policy->presence);
    cr_assert_eq(policy->slow, FT_SLOW_DISCONNECT);
}

Test(config_topic, a_section_without_settings_takes_its_topics_out_of_a_wider_one)
{
    const struct ft_policy *policy =
        policy_of("[topic \"#\"]\nretain = yes\n[topic \"a/+\"]\n", "a/b");

    cr_assert_not(policy->retain);
    cr_assert(ft_policies_find(config.policies, ft_slice_str("a"), NULL)->retain);
    cr_assert_eq(ft_policies_count(config.policies), 2);
}

Test(config_topic, sections_of_settings_and_of_topics_may_alternate)
{
    policy_of("workers = 2\n[topic \"a\"]\nttl = 1\n[limits]\nping = 5\n[topic \"b\"]\nttl = 2\n"
              "[limits]\ntopics = 3\n",
              "a");
    cr_assert_eq(config.limits_ping_s, 5);
    cr_assert_eq(config.limits_topics, 3);
    cr_assert_eq(ft_policies_find(config.policies, ft_slice_str("a"), NULL)->ttl_s, 1);
    cr_assert_eq(ft_policies_find(config.policies, ft_slice_str("b"), NULL)->ttl_s, 2);
}

Test(config_topic, any_filter_can_be_written)
{
    static const struct {
        const char *header, *filter;
    } cases[] = {
        {"[topic \"a b ; c d ] [\"]", "a b ; c d ] ["},
        {"[topic \"a ; b\"] ; comment", "a ; b"},
        {"[ topic\t\"]\" ]# comment", "]"},
        {"[topic\"#\"]\r", "#"},
        {"  [topic \"a\\\\b\\\"c\\\"\"]", "a\\b\"c\""},
        {"[topic \"\xc3\xa9t\xc3\xa9/+\"]", "\xc3\xa9t\xc3\xa9/+"},
        {"[topic \" / /\"]", " / /"},
        {"[topic \"/\"]", "/"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "%s\nttl = 7\n", cases[i].header);
        cr_assert_eq(load(text), 0, "%s", error.text);
        cr_assert_eq(config.topic_count, 1);
        cr_assert_str_eq(config.topics[0].filter, cases[i].filter);
        cr_assert_eq(config.topics[0].settings.ttl_s, 7);
        end();
        begin();
    }
}

Test(config_topic, the_longest_filter_can_be_written_all_of_it_escaped)
{
    char text[1024] = "[topic \"", filter[FT_TOPIC_BYTES_MAX + 1];

    for (int i = 0; i < FT_TOPIC_BYTES_MAX; i++)
        strcat(text, i % 2 ? "\\\"" : "\\\\");
    strcat(text, "\"] # a comment behind it\nttl = 7\n");
    for (int i = 0; i < FT_TOPIC_BYTES_MAX; i++)
        filter[i] = i % 2 ? '"' : '\\';
    filter[FT_TOPIC_BYTES_MAX] = 0;
    cr_assert_eq(load(text), 0, "%s", error.text);
    cr_assert_str_eq(config.topics[0].filter, filter);
    cr_assert_eq(config.topics[0].settings.ttl_s, 7);
}

Test(config_topic, headers_that_are_none_are_named_with_their_line)
{
    static const char *const bad[] = {
        "[topic \"a]",      "[topic \"a\"", "[topic \"a\" b]", "[topic a]",
        "[topic \"a\\n\"]", "[topic \"a\\", "[topic \"a\"]]",  "[topic \"a\"] ttl = 1",
        "[\"a\"]",          "[]",           "[limits",         "[limits] x",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "workers = 1\n%s\nttl = 7\n", bad[i]);
        assert_refused(text, " must be [SECTION] or [topic \"FILTER\"], where");
    }
    assert_refused("[topic \"a]\n", ":1: \"[topic \\x22a]\" must be");
    assert_refused("\n[topic]\nttl = 7\n", ":2: [topic] must name a filter: [topic \"chat/#\"]");
    assert_refused("[topics \"a\"]\n", ":1: there is no section \"topics\" with a filter; did you "
                                       "mean topic?");
    assert_refused("[a-name-that-is-longer-than-that-of-any-section-by-far]\n",
                   ":1: there is no section \"a-name");
}

Test(config_topic, what_is_no_filter_says_why)
{
    assert_refused("[topic \"a/#/b\"]\n", ":1: filter \"a/#/b\" has '#' before its last level");
    assert_refused("[topic \"a+\"]\n", ":1: filter \"a+\" has '+' or '#' inside a level");
    assert_refused("[topic \"\"]\n", ":1: the filter is empty");
    assert_refused("[topic \"\xff\"]\n", ":1: filter \"\\xFF\" is not valid UTF-8");
    assert_refused("[topic \"$sys/#\"]\n", ":1: filter \"$sys/#\" begins with '$'");
}

Test(config_topic, a_filter_has_one_section)
{
    assert_refused("[topic \"a/+\"]\nttl = 1\n[limits]\n[topic \"a/+\"]\n",
                   ":4: filter \"a/+\" has a section already, ");
    assert_refused("[topic \"a/+\"]\nttl = 1\n[limits]\n[topic \"a/+\"]\n", ":1; keep one");
}

Test(config_topic, a_setting_is_given_once_and_by_its_name)
{
    assert_refused("[topic \"a\"]\nttl = 1\nttl = 2\n", ":3: ttl is set twice for topics \"a\"");
    assert_refused("[topic \"a\"]\nttl = 1\n  2\n", ":3: ttl is set twice");
    assert_refused("[topic \"a\"]\nhistroy = 1\n",
                   ":2: topics have no setting \"histroy\"; did you mean history?");
    assert_refused("[topic \"a\"]\nmessage = 1k\n",
                   "have no setting \"message\"; there are retain, history, ttl, slow, "
                   "max_message, ephemeral, presence");
    assert_refused("[topic \"a\"]\nlimits.ping = 1\n", "topics have no setting \"limits.ping\"");
    assert_refused("retain = yes\n", ":1: there is no setting \"retain\"");
}

Test(config_topic, values_are_held_to_their_bounds)
{
    assert_refused("[topic \"a\"]\nhistory = 100001\n",
                   ":2: history = \"100001\" must be a number of publications from 0 to 100000");
    assert_refused("[topic \"a\"]\nttl = 1w\n", "ttl = \"1w\" must be a number of seconds from 0 ");
    assert_refused("[topic \"a\"]\nslow = drop\n",
                   "slow = \"drop\" must be park, latest or disconnect");
    assert_refused("[topic \"a\"]\nretain = true\n", "retain = \"true\" must be yes or no");
    assert_refused("[topic \"a\"]\nmax_message = 17m\n",
                   "max_message = \"17m\" must be a number of");
    assert_refused("[topic \"a\"]\n\nmax_message = 65k\n",
                   ":3: max_message = 65k must be at most 64k, that is limits.message");
    cr_assert_eq(load("[topic \"a\"]\nmax_message = 64k\n"), 0);
    cr_assert_eq(ft_config_finish(&config, &error), 0, "%s", error.text);
}

Test(config_topic, what_is_ephemeral_is_not_kept)
{
    assert_refused("[topic \"a\"]\nephemeral = yes\nttl = 1\nretain = yes\n",
                   ":4: topics \"a\" are ephemeral = yes, so nothing is kept of them, and retain = "
                   "yes cannot hold");
    assert_refused("[topic \"a\"]\nhistory = 1\nephemeral = yes\n", ":3: topics \"a\" are");
    cr_assert_eq(load("[topic \"a\"]\nephemeral = yes\nretain = no\nhistory = 0\n"), 0);
}

Test(config_topic, there_is_a_ceiling_on_sections)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    for (int i = 0; i < FT_POLICIES_MAX; i++)
        fprintf(out, "[topic \"t/%d\"]\n", i);
    fflush(out);
    cr_assert_eq(policy_of(text, "t/0")->ttl_s, 0);
    cr_assert_eq(ft_policies_count(config.policies), FT_POLICIES_MAX);
    fputs("[topic \"x\"]\n", out);
    fclose(out);
    end();
    begin();
    assert_refused(text, ":1025: filter \"x\" is one too many, at most 1024 sections");
    free(text);
}

/* What --check-config --topic prints; the caller frees it. */
static char *printed(const char *topic)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    ft_config_print_topic(&config, ft_slice_str(topic), out);
    fclose(out);
    return text;
}

Test(config_topic, the_section_that_decides_is_named)
{
    policy_of("[topic \"chat/#\"]\nttl = 1m\n[topic \"chat/+\"]\nhistory = 5\n", "x");
    char *won = printed("chat/42"), *none = printed("other");

    cr_assert_eq(strncmp(won, "# \"chat/42\": this section decides, /tmp/", 39), 0, "%s", won);
    cr_assert(strstr(won, ":3\n[topic \"chat/+\"]\nretain = no\nhistory = 5\nttl = 0\n"), "%s",
              won);
    cr_assert_eq(strncmp(none, "# \"other\": no section matches", 29), 0, "%s", none);
    cr_assert(strstr(none, "\nhistory = 0\nttl = 0\nslow = park\n"), "%s", none);
    free(won);
    free(none);
}
