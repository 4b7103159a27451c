/* What a subscriber gets of the past, step by step: since, last, last values, and where they meet the
 * live feed. The model test does the same at random; here each rule stands alone. */
#include "broker/base/alloc.h"
#include "broker/hub/feed.h"
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct ft_fake_node node;
static struct ft_fake_client client, publisher, other;

static void begin(uint32_t workers, size_t journal_bytes)
{
    struct ft_policies *policies = ft_policies_new();
    cr_assert(
        ft_policies_add(policies, ft_slice_str("e/#"), &(struct ft_policy){.ephemeral = true}));
    cr_assert(ft_policies_add(policies, ft_slice_str("h/#"), &(struct ft_policy){.history = 3}));
    cr_assert(ft_policies_add(policies, ft_slice_str("r/#"), &(struct ft_policy){.retain = true}));
    ft_fake_node_init(&node, &(struct ft_journal_options){.size_bytes = journal_bytes},
                      &(struct ft_hub_options){.policies = policies}, workers);
    ft_fake_client_open(&node, &publisher, 0, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &client, workers - 1, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &other, 0, FT_FRAMES_JSON);
}

static void setup(void)
{
    begin(1, (size_t)1 << 20);
}

static void setup_small(void)
{
    begin(1, 16384);
}

static void setup_two(void)
{
    begin(2, (size_t)1 << 20);
}

static void teardown(void)
{
    ft_fake_node_fini(&node);
}

TestSuite(feed, .init = setup, .fini = teardown, .timeout = 30);
TestSuite(feed_small, .init = setup_small, .fini = teardown, .timeout = 30);
TestSuite(feed_two, .init = setup_two, .fini = teardown, .timeout = 30);

#define assert_told(expected) cr_assert_str_eq(ft_fake_client_told(&client), expected)

static void publish_as(const char *topic, const char *data, const char *rest)
{
    char text[256];
    snprintf(text, sizeof(text), "{\"op\":\"pub\",\"topic\":\"%s\",\"data\":%s%s}", topic, data,
             rest);
    ft_fake_client_say(&publisher, text);
}

static void publish(const char *topic, int value)
{
    char data[16];
    snprintf(data, sizeof(data), "%d", value);
    publish_as(topic, data, "");
}

static void sub(const char *rest)
{
    char text[256];
    snprintf(text, sizeof(text), "{\"op\":\"sub\",\"id\":1,%s}", rest);
    ft_fake_client_say(&client, text);
}

static void read_on(uint32_t takes)
{
    ft_fake_node_begin(&node, client.session.asker.worker->index);
    ft_fake_client_unblock(&client, takes);
    (void)ft_fake_node_end(&node, client.session.asker.worker->index);
    ft_fake_node_settle(&node);
}

/* Publishes until everything that is there has left the journal; returns its tail. */
static int push_out(void)
{
    uint64_t head = ft_journal_head(node.journal);
    for (int i = 0; ft_journal_tail(node.journal) < head; i++)
        publish("out", i);
    return (int)ft_journal_tail(node.journal);
}

/* ---- since ---- */

Test(feed, since_brings_what_matches_and_then_what_is_live)
{
    publish("a", 1);
    publish("b", 2);
    publish("a/x", 3);
    publish("a", 4);
    sub("\"topics\":[\"a/#\"],\"since\":[\"teststream.1\"]");
    publish("a", 5);
    assert_told("ok+@1 a/x=3@3 a=4@4 a=5@5");
    cr_assert_null(client.session.feed);
}

Test(feed, since_the_head_needs_nothing)
{
    publish("a", 1);
    sub("\"topics\":[\"a\"],\"since\":[\"teststream.1\"]");
    assert_told("ok+@1");
    cr_assert_null(client.session.feed);
    sub("\"topics\":[\"b\"],\"since\":[\"teststream.0\"]");
    assert_told("ok+@0");
}

Test(feed, of_several_positions_of_one_stream_the_greatest_counts)
{
    for (int i = 1; i <= 12; i++)
        publish("a", i);
    sub("\"topics\":[\"a\"],\"since\":[\"teststream.9\",\"teststream.10\",\"teststream.2\"]");
    assert_told("ok+@10 a=11@11 a=12@12");
}

Test(feed, of_a_stream_that_nobody_knows_nothing_is_claimed)
{
    publish("a", 1);
    sub("\"topics\":[\"a\"],\"since\":[\"otherlife0.7\"]");
    publish("a", 2);
    assert_told("ok-@1 a=2@2");
    sub("\"topics\":[\"a\"],\"since\":[\"teststream.3\"]"); /* ahead of the head */
    assert_told("ok-@2");
    sub("\"topics\":[\"a\"],\"since\":[]");
    publish("a", 3);
    assert_told("ok-@2 a=3@3");
}

Test(feed, a_since_that_is_no_position_is_refused_and_changes_nothing)
{
    static const char *const bad[] = {"[\"teststream\"]",
                                      "[\"teststream.x\"]",
                                      "[\".1\"]",
                                      "\"teststream.1\"",
                                      "[1]",
                                      "[\"teststream.1\",\"teststream.01\"]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char rest[128];
        snprintf(rest, sizeof(rest), "\"topics\":[\"a\"],\"since\":%s", bad[i]);
        sub(rest);
        assert_told("error(400)");
    }
    cr_assert_null(client.session.subscriptions);
}

Test(feed_small, since_before_the_tail_brings_what_is_left)
{
    publish("a", 1);
    int tail = push_out();
    publish("a", 2);
    char expected[64];
    sub("\"topics\":[\"a\"],\"since\":[\"teststream.0\"]");
    snprintf(expected, sizeof(expected), "ok-@%d a=2@%d", (int)ft_journal_tail(node.journal),
             (int)ft_journal_head(node.journal));
    assert_told(expected);
    cr_assert_leq(tail, (int)ft_journal_tail(node.journal));
}

Test(feed_small, since_the_tail_itself_is_recovered)
{
    publish("a", 1);
    int tail = push_out();
    char text[64], expected[64];
    snprintf(text, sizeof(text), "\"topics\":[\"a\"],\"since\":[\"teststream.%d\"]", tail);
    snprintf(expected, sizeof(expected), "ok+@%d", tail);
    sub(text);
    assert_told(expected);
    snprintf(text, sizeof(text), "\"topics\":[\"b\"],\"since\":[\"teststream.%d\"]", tail - 1);
    snprintf(expected, sizeof(expected), "ok-@%d", tail);
    sub(text);
    assert_told(expected);
}

Test(feed, what_is_ephemeral_comes_live_and_never_again)
{
    sub("\"topics\":[\"e/#\",\"a\"]");
    publish("e/x", 1);
    publish("a", 2);
    assert_told("ok@0 e/x=1 a=2@2");
    sub("\"topics\":[\"e/#\",\"a\"],\"since\":[\"teststream.0\"]");
    assert_told("ok+@0 a=2@2");
    publish_as("e/x", "1", ",\"retain\":true,\"id\":1");
    cr_assert_str_eq(ft_fake_client_told(&publisher), "error(409)");
    publish_as("e/x", "1", ",\"id\":1");
    cr_assert_str_eq(ft_fake_client_told(&publisher), "ok");
}

Test(feed, what_is_past_its_time_comes_live_and_not_again)
{
    sub("\"topics\":[\"a\"]");
    publish_as("a", "1", ",\"ttl\":1");
    publish_as("a", "2", ",\"ttl\":5");
    publish("a", 3);
    assert_told("ok@0 a=1@1 a=2@2 a=3@3");
    node.mono_ms += 900;
    sub("\"topics\":[\"a\"],\"since\":[\"teststream.0\"]");
    assert_told("ok+@0 a=1@1 a=2@2 a=3@3");
    node.mono_ms += 300;
    sub("\"topics\":[\"a\"],\"since\":[\"teststream.0\"]");
    assert_told("ok+@0 a=2@2 a=3@3");
    node.mono_ms += 4000;
    sub("\"topics\":[\"a\"],\"since\":[\"teststream.0\"]");
    assert_told("ok+@0 a=3@3");
}

Test(feed, what_another_filter_has_brought_does_not_come_again)
{
    publish("a", 1);
    publish("b", 2);
    sub("\"topics\":[\"a\"],\"since\":[\"teststream.0\"]");
    publish("a", 3);
    publish("b", 4);
    assert_told("ok+@0 a=1@1 a=3@3");
    sub("\"topics\":[\"#\"],\"since\":[\"teststream.0\"]");
    publish("a", 5);
    assert_told("ok+@0 b=2@2 b=4@4 a=5@5");
}

Test(feed, the_ok_says_from_where_on_nothing_is_lost)
{
    for (int i = 1; i <= 100; i++)
        publish("a", i);
    client.takes = 1;
    ft_fake_client_say(&client, "[{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\"],"
                                "\"since\":[\"teststream.10\"]},"
                                "{\"op\":\"sub\",\"id\":2,\"topics\":[\"b\"]},"
                                "{\"op\":\"sub\",\"id\":3,\"topics\":[\"c\"],"
                                "\"since\":[\"teststream.50\"]}]");
    assert_told("ok+@10 ok@10 ok+@10");
}

Test(feed, others_go_on_while_one_catches_up)
{
    char data[700];
    memset(data, '7', sizeof(data) - 1);
    data[sizeof(data) - 1] = '\0';
    for (int i = 0; i < 1100; i++) { /* more than one turn brings */
        char text[800];
        snprintf(text, sizeof(text), "{\"op\":\"pub\",\"topic\":\"a\",\"data\":\"%s\"}", data);
        ft_fake_client_say(&publisher, text);
    }
    ft_fake_client_say(&other, "{\"op\":\"sub\",\"topics\":[\"b\"]}");
    ft_fake_node_begin(&node, 0);
    ft_fake_client_receive(&client, ft_slice_str("{\"op\":\"sub\",\"id\":1,\"topics\":[\"#\"],"
                                                 "\"since\":[\"teststream.0\"]}"));
    cr_assert_not(ft_fake_node_end(&node, 0), "there is more to do");
    cr_assert_not_null(client.session.feed);
    uint32_t turns = 1;
    for (bool is_done = false; !is_done; turns++) {
        ft_fake_node_begin(&node, 0);
        ft_fake_client_receive(&publisher,
                               ft_slice_str("{\"op\":\"pub\",\"topic\":\"b\",\"data\":1}"));
        is_done = ft_fake_node_end(&node, 0) || turns > 100;
        cr_assert_eq(strncmp(ft_fake_client_told(&other), "b=1@", 4), 0);
    }
    cr_assert_geq(turns, 3);
    cr_assert_leq(turns, 40, "a step is a write, and writes are small here");
    ft_fake_client_forget(&client);
    publish("a", 1);
    char expected[32];
    snprintf(expected, sizeof(expected), "a=1@%d", (int)ft_journal_head(node.journal));
    assert_told(expected);
}

/* ---- last, and last values ---- */

Test(feed, last_brings_the_latest_of_each_topic_and_then_what_is_live)
{
    for (int i = 1; i <= 3; i++) {
        publish("a", i);
        publish("b", i);
    }
    sub("\"topics\":[\"+\"],\"last\":2");
    publish("a", 4);
    assert_told("ok@6 a=2@3 b=2@4 a=3@5 b=3@6 a=4@7");
    sub("\"topics\":[\"a\"],\"last\":1");
    assert_told("ok@7 a=4@7");
    sub("\"topics\":[\"b\"],\"last\":0");
    assert_told("ok@7");
    sub("\"topics\":[\"a\",\"b\"],\"last\":1,\"since\":[\"teststream.6\"]");
    assert_told("ok+@6");
}

Test(feed_small, a_history_of_its_own_goes_beyond_the_journal)
{
    for (int i = 1; i <= 5; i++) {
        publish("h/x", i);
        publish("a", i);
    }
    push_out();
    sub("\"topics\":[\"h/#\",\"a\"],\"last\":10");
    char expected[64];
    snprintf(expected, sizeof(expected), "ok@%d h/x=3@5 h/x=4@7 h/x=5@9",
             (int)ft_journal_head(node.journal));
    assert_told(expected);
}

Test(feed, a_last_value_comes_first_and_marked)
{
    publish_as("a", "1", ",\"retain\":true");
    publish("a", 2);
    publish_as("b/x", "3", ",\"retain\":true");
    publish("r/x", 4); /* by policy */
    sub("\"topics\":[\"#\"]");
    publish_as("a", "5", ",\"retain\":true");
    assert_told("ok@4 a=1*@1 b/x=3*@3 r/x=4*@4 a=5@5");
    sub("\"topics\":[\"a\"]");
    assert_told("ok@5 a=5*@5");
    sub("\"topics\":[\"a\",\"b/#\"],\"since\":[\"teststream.2\"]");
    assert_told("ok+@2 b/x=3@3");
}

Test(feed, no_snapshot_overtakes_what_other_filters_are_behind_with)
{
    publish("a", 1);
    publish("r/x", 2);
    publish("b", 3);
    publish("a", 4);
    ft_fake_client_say(&client,
                       "[{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\"],\"since\":[\"teststream.0\"]},"
                       "{\"op\":\"sub\",\"id\":2,\"topics\":[\"r/#\"]},"
                       "{\"op\":\"sub\",\"id\":3,\"topics\":[\"b\"],\"last\":1}]");
    publish("a", 5);
    /* Who is cut off at any place, and resumes from the greatest position so far, misses nothing. */
    assert_told("ok+@0 ok@0 ok@0 a=1@1 a=4@4 r/x=2*@2 b=3@3 a=5@5");
}

Test(feed, an_unrecovered_resume_gets_the_last_values_before_what_is_left)
{
    publish_as("a", "1", ",\"retain\":true");
    publish("a", 2);
    sub("\"topics\":[\"a\"],\"since\":[\"otherlife0.1\"]");
    assert_told("ok-@2 a=1*@1");
}

Test(feed, what_is_both_among_the_latest_and_the_last_value_comes_once)
{
    publish("a", 1);
    publish_as("a", "2", ",\"retain\":true");
    publish("a", 3);
    sub("\"topics\":[\"a\"],\"last\":2");
    assert_told("ok@3 a=2*@2 a=3@3");
    sub("\"topics\":[\"a\",\"+\",\"#\"],\"last\":1");
    assert_told("ok@3 a=2*@2 a=3@3");
}

Test(feed, null_clears_a_last_value_and_comes_like_any_other)
{
    publish_as("a", "1", ",\"retain\":true");
    sub("\"topics\":[\"a\"]");
    publish_as("a", "null", ",\"retain\":true");
    assert_told("ok@1 a=1*@1 a=null@2");
    sub("\"topics\":[\"a\"]");
    assert_told("ok@2");
    publish_as("b", "null", "");
    sub("\"topics\":[\"b\"],\"last\":1");
    assert_told("ok@3 b=null@3");
}

Test(feed_small, a_last_value_outlives_the_journal_and_its_ttl_does_not)
{
    publish_as("a", "1", ",\"retain\":true");
    publish_as("b", "2", ",\"retain\":true,\"ttl\":10");
    push_out();
    char expected[64];
    int head = (int)ft_journal_head(node.journal);
    sub("\"topics\":[\"a\",\"b\"]");
    snprintf(expected, sizeof(expected), "ok@%d a=1*@1 b=2*@2", head);
    assert_told(expected);
    node.mono_ms += 11000;
    sub("\"topics\":[\"a\",\"b\"]");
    snprintf(expected, sizeof(expected), "ok@%d a=1*@1", head);
    assert_told(expected);
}

/* Last values that take many writes, to a socket that takes one at a time, with publications between. */
Test(feed_small, a_snapshot_goes_on_where_it_was_and_ends_at_the_cut)
{
    char topic[16], expected[64];
    for (int i = 1; i <= 300; i++) {
        snprintf(topic, sizeof(topic), "s/%d", i);
        publish_as(topic, "1", ",\"retain\":true");
    }
    client.takes = 1;
    sub("\"topics\":[\"s/#\"]");
    int published = 0;
    while (client.session.feed) {
        cr_assert_lt(++published, 200);
        publish("s/1", published); /* replaces a last value and comes live */
        read_on(1);
        cr_assert_leq(client.session.outbox.bytes, 3 * 4096);
    }
    read_on(FT_FAKE_ALL);
    cr_assert_gt(published, 10);
    const char *told = ft_fake_client_told(&client);
    cr_assert_eq(strncmp(told, "ok@300 s/1=1*@1 s/2=1*@2 ", 25), 0, "%.40s", told);
    for (int i = 2; i <= 300; i++) {
        snprintf(expected, sizeof(expected), "s/%d=1*@%d ", i, i);
        const char *at = strstr(told, expected);
        cr_assert_not_null(at, "%s", expected);
        cr_assert_null(strstr(at + 1, expected), "%s comes twice", expected);
    }
    for (int i = 1; i <= published; i++) {
        snprintf(expected, sizeof(expected), " s/1=%d@%d", i, 300 + i);
        cr_assert_not_null(strstr(told, expected), "%s", expected);
    }
}

/* ---- two workers ---- */

Test(feed_two, a_resume_on_another_worker_is_exact)
{
    sub("\"topics\":[\"a\"]");
    publish("a", 1); /* worker 1 has not looked yet */
    assert_told("ok@0");
    sub("\"topics\":[\"#\"],\"since\":[\"teststream.0\"]");
    assert_told("a=1@1 ok+@0");
    publish("b", 2);
    sub("\"topics\":[\"b\"],\"since\":[\"teststream.2\"]");
    assert_told("b=2@2 ok+@2");
    publish("b", 3);
    sub("\"topics\":[\"c\"],\"since\":[\"teststream.4\"]");
    assert_told("b=3@3 ok-@3");
}
