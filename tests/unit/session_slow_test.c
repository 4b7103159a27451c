/* Slow sessions: parked at the bound and fed from the journal, told of what they miss, let go when they
 * take hardly anything; and options that change while the hub runs. */
#include "broker/base/alloc.h"
#include "broker/hub/feed.h"
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { QUEUE = 4096, TIMEOUT_S = 60 };

static struct ft_fake_node node;
static struct ft_fake_client slow, other, publisher;

static struct ft_hub_options options_of(enum ft_slow policy, size_t queue_bytes)
{
    struct ft_policies *policies = ft_policies_new();
    cr_assert(ft_policies_add(policies, ft_slice_str("p/#"), &(struct ft_policy){.slow = policy}));
    return (struct ft_hub_options){.node = "n1",
                                   .message_bytes = 1024,
                                   .topics = 5,
                                   .queue_bytes = queue_bytes,
                                   .flush_bytes = 1024,
                                   .ping_s = 25,
                                   .write_timeout_s = TIMEOUT_S,
                                   .policies = policies};
}

static void begin(enum ft_slow policy)
{
    struct ft_hub_options options = options_of(policy, QUEUE);
    ft_fake_node_init(&node, &(struct ft_journal_options){.size_bytes = (size_t)256 << 10},
                      &options, 1);
    ft_fake_client_open(&node, &publisher, 0, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &slow, 0, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &other, 0, FT_FRAMES_JSON);
}

static void setup(void)
{
    begin(FT_SLOW_PARK);
}

static void setup_strict(void)
{
    begin(FT_SLOW_DISCONNECT);
}

static void teardown(void)
{
    ft_fake_node_fini(&node);
}

TestSuite(slow, .init = setup, .fini = teardown, .timeout = 60);
TestSuite(strict, .init = setup_strict, .fini = teardown, .timeout = 60);

#define assert_told(client, expected) cr_assert_str_eq(ft_fake_client_told(client), expected)

static void publish(const char *topic, int value)
{
    char text[128];
    snprintf(text, sizeof(text), "{\"op\":\"pub\",\"topic\":\"%s\",\"data\":%d}", topic, value);
    ft_fake_client_say(&publisher, text);
}

/* Subscribes the slow one and lets the next publication fill its socket. */
static void stop_reading(const char *filter)
{
    char text[128];
    snprintf(text, sizeof(text), "{\"op\":\"sub\",\"topics\":[\"%s\"]}", filter);
    ft_fake_client_say(&slow, text);
    slow.takes = 1;
}

static void read_on(uint32_t takes)
{
    ft_fake_node_begin(&node, 0);
    ft_fake_client_unblock(&slow, takes);
    (void)ft_fake_node_end(&node, 0);
    ft_fake_node_settle(&node);
}

/* Publishes until everything that is there has left the journal. */
static void push_out(const char *topic)
{
    uint64_t head = ft_journal_head(node.journal);
    for (int i = 0; ft_journal_tail(node.journal) < head; i++)
        publish(topic, i);
}

Test(slow, is_parked_at_the_bound_and_costs_no_more_from_then_on)
{
    stop_reading("p/#");
    publish("p/a", 1);
    cr_assert(slow.session.is_blocked);
    size_t frame = 0;
    int n = 1;
    while (!slow.session.feed) {
        size_t before = slow.session.outbox.bytes;
        cr_assert_leq(before, QUEUE + frame, "it is parked with what comes next");
        publish("p/a", ++n);
        frame = slow.session.feed ? frame : slow.session.outbox.bytes - before;
    }
    size_t bytes = slow.session.outbox.bytes;
    cr_assert_gt(bytes, QUEUE);
    cr_assert_leq(bytes, QUEUE + frame);
    cr_assert(slow.session.feed->is_parked);
    while (n < 500)
        publish("p/a", ++n);
    cr_assert_eq(slow.session.outbox.bytes, bytes);
    cr_assert_eq(slow.session.outbox.first, slow.session.outbox.last, "a run, and nothing else");

    slow.takes = 0;
    read_on(FT_FAKE_ALL);
    cr_assert_null(slow.session.feed, "it is live again");
    const char *told = ft_fake_client_told(&slow);
    char expected[32];
    for (int i = 1; i <= 500; i++) {
        snprintf(expected, sizeof(expected), "p/a=%d@%d", i, i);
        cr_assert_eq(strncmp(told, expected, strlen(expected)), 0, "publication %d", i);
        told += strlen(expected) + (i < 500);
    }
    cr_assert_str_eq(told, "");
    publish("p/a", 501);
    assert_told(&slow, "p/a=501@501");
}

Test(slow, takes_what_waits_write_by_write)
{
    stop_reading("p/#");
    for (int i = 1; i <= 300; i++)
        publish("p/a", i);
    for (int i = 0; i < 1000 && slow.session.feed; i++) {
        uint32_t before = slow.writes;
        read_on(1);
        cr_assert_eq(slow.writes, before + 1, "not one more than it takes");
        cr_assert_leq(slow.session.outbox.bytes, QUEUE + 1024);
    }
    read_on(FT_FAKE_ALL);
    cr_assert_not_null(strstr(ft_fake_client_told(&slow), "p/a=299@299 p/a=300@300"));
}

Test(slow, delays_nobody_else)
{
    ft_fake_client_say(&other, "{\"op\":\"sub\",\"topics\":[\"p/#\"]}");
    stop_reading("p/#");
    for (int i = 1; i <= 200; i++) {
        char expected[32];
        publish("p/a", i);
        snprintf(expected, sizeof(expected), "p/a=%d@%d", i, i);
        assert_told(&other, expected);
    }
}

Test(slow, is_told_how_many_it_missed_where_everything_was_for_it)
{
    stop_reading("#");
    publish("p/a", 0);
    ft_fake_client_forget(&slow);
    for (int i = 0; i < 30; i++) /* runs of five, and of one */
        ft_fake_client_say(&publisher, "[{\"op\":\"pub\",\"topic\":\"p/a\",\"data\":1},"
                                       "{\"op\":\"pub\",\"topic\":\"p/a\",\"data\":1},"
                                       "{\"op\":\"pub\",\"topic\":\"p/a\",\"data\":1},"
                                       "{\"op\":\"pub\",\"topic\":\"p/a\",\"data\":1},"
                                       "{\"op\":\"pub\",\"topic\":\"p/a\",\"data\":1},"
                                       "{\"op\":\"pub\",\"topic\":\"p/b\",\"data\":1}]");
    cr_assert(slow.session.feed->is_parked);
    push_out("p/c");
    uint64_t tail = ft_journal_tail(node.journal), head = ft_journal_head(node.journal);
    read_on(FT_FAKE_ALL);
    char expected[64];
    snprintf(expected, sizeof(expected), "gap(%d)@%d p/c=", (int)tail - 1, (int)tail);
    const char *told = ft_fake_client_told(&slow);
    cr_assert_eq(strncmp(told, expected, strlen(expected)), 0, "%.60s, not %s", told, expected);
    cr_assert_null(strstr(told + 1, "gap"), "one gap is enough");
    snprintf(expected, sizeof(expected), "@%d", (int)head);
    cr_assert_str_eq(told + strlen(told) - strlen(expected), expected, "up to the last one");
}

Test(slow, is_told_what_it_missed_also_where_it_is_ended_in_the_same_turn)
{
    stop_reading("#");
    publish("p/a", 1); /* is taken … */
    publish("p/a", 2); /* … and these wait, until the first of them is gone */
    publish("p/a", 3);
    uint64_t tail;
    for (int i = 4; (tail = ft_journal_tail(node.journal)) < 2; i++)
        publish("p/a", i);
    ft_fake_client_forget(&slow);
    ft_fake_node_begin(&node, 0);
    ft_fake_client_unblock(&slow, FT_FAKE_ALL);
    ft_session_end(&slow.session, 4403, "disconnected by the operator");
    (void)ft_fake_node_end(&node, 0);
    char expected[64];
    snprintf(expected, sizeof(expected), "gap(%d)@%d p/a=", (int)tail - 1, (int)tail);
    const char *told = ft_fake_client_told(&slow);
    cr_assert_eq(strncmp(told, expected, strlen(expected)), 0, "%.100s", told);
    cr_assert(strstr(told, " close(4403)"), "%.100s", told);
}

Test(slow, is_not_told_a_number_that_nobody_knows)
{
    stop_reading("p/a");
    for (int i = 0; i < 100; i++) {
        publish("p/a", i);
        publish("p/b", i);
    }
    push_out("p/c");
    ft_fake_client_forget(&slow);
    char expected[32];
    snprintf(expected, sizeof(expected), "gap@%d", (int)ft_journal_tail(node.journal));
    read_on(FT_FAKE_ALL);
    assert_told(&slow, expected);
}

Test(slow, learns_nothing_more_of_filters_that_it_gave_up)
{
    stop_reading("p/#");
    for (int i = 0; i < 100; i++)
        publish("p/a", i);
    cr_assert_not_null(slow.session.feed);
    ft_fake_client_say(&slow, "{\"op\":\"unsub\",\"topics\":[\"p/#\"],\"id\":1}");
    cr_assert_null(slow.session.feed);
    publish("p/a", 100);
    read_on(FT_FAKE_ALL);
    const char *told = ft_fake_client_told(&slow);
    cr_assert_str_eq(told + strlen(told) - 3, " ok");
    publish("p/a", 101);
    assert_told(&slow, "");
    ft_fake_client_say(&slow, "{\"op\":\"sub\",\"topics\":[\"p/a\"],\"id\":2}");
    publish("p/a", 102);
    assert_told(&slow, "ok@102 p/a=102@103");
}

Test(slow, goes_away_in_the_middle)
{
    stop_reading("p/#");
    for (int i = 0; i < 200; i++)
        publish("p/a", i);
    read_on(2);
    slow.is_dead = true;
    ft_fake_node_begin(&node, 0);
    ft_fake_client_unblock(&slow, FT_FAKE_ALL);
    (void)ft_fake_node_end(&node, 0);
    cr_assert(slow.is_killed);
    publish("p/a", 200);
    ft_fake_client_close(&slow);
    publish("p/a", 201);
    cr_assert_null(node.hub->workers[0]->feeds);
}

Test(strict, closes_who_is_past_the_bound_and_nobody_else)
{
    ft_fake_client_say(&other, "{\"op\":\"sub\",\"topics\":[\"#\"]}");
    stop_reading("p/#");
    for (int i = 0; i < 40; i++)
        publish("p/a", i);
    cr_assert_not(slow.session.is_ending);
    for (int i = 0; i < 40; i++)
        publish("p/a", i);
    cr_assert(slow.session.is_ending);
    cr_assert_not(other.session.is_ending);
    ft_fake_client_forget(&slow);
    read_on(FT_FAKE_ALL);
    assert_told(&slow, "close(4508)");
}

/* Its socket opens in the turn in which it was too slow: what was not queued for it must not simply be
 * missing. */
Test(strict, closes_also_who_reads_on_in_the_same_turn)
{
    stop_reading("p/#");
    publish("p/a", 0);
    while (!ft_session_is_over(&slow.session))
        publish("p/a", 1);
    ft_fake_node_begin(&node, 0);
    ft_fake_client_receive(&publisher,
                           ft_slice_str("{\"op\":\"pub\",\"topic\":\"p/a\",\"data\":2}"));
    ft_fake_client_receive(&other, ft_slice_str("{\"op\":\"sub\",\"topics\":[\"x\"]}"));
    ft_fake_client_unblock(&slow, FT_FAKE_ALL);
    (void)ft_fake_node_end(&node, 0);
    publish("p/a", 3);
    const char *told = ft_fake_client_told(&slow);
    cr_assert_null(strstr(told, "p/a=3"), "a hole");
    cr_assert_not_null(strstr(told, "close(4508)"));
}

/* It asks for more in that turn: the answer would say that it has had everything before. */
Test(strict, answers_no_sub_of_who_is_too_slow)
{
    stop_reading("p/#");
    publish("p/a", 0);
    while (!ft_session_is_over(&slow.session))
        publish("p/a", 1);
    ft_fake_client_forget(&slow);
    ft_fake_node_begin(&node, 0);
    ft_fake_client_receive(&publisher,
                           ft_slice_str("{\"op\":\"pub\",\"topic\":\"p/a\",\"data\":2}"));
    ft_fake_client_receive(&slow, ft_slice_str("{\"op\":\"sub\",\"id\":1,\"topics\":[\"x\"]}"));
    ft_fake_client_unblock(&slow, FT_FAKE_ALL);
    (void)ft_fake_node_end(&node, 0);
    const char *told = ft_fake_client_told(&slow);
    cr_assert_null(strstr(told, "ok"), "%s", told);
    cr_assert_not_null(strstr(told, "close(4508)"), "%s", told);
}

/* ---- limits.write_timeout ---- */

static void block(void)
{
    stop_reading("p/#");
    publish("p/a", 1);
    cr_assert(slow.session.is_blocked);
}

Test(slow, who_takes_nothing_is_let_go_after_a_time)
{
    block();
    ft_fake_node_pass(&node, TIMEOUT_S * 1000 - 500);
    cr_assert_not(slow.session.is_ending);
    ft_fake_node_pass(&node, 1000);
    cr_assert(slow.session.is_ending);
    cr_assert_not(other.session.is_ending, "who has nothing to take has all the time");
    cr_assert_not(slow.is_killed);
    ft_fake_node_pass(&node, 3000);
    cr_assert(slow.is_killed, "nor does it take the close frame");
}

Test(slow, who_takes_a_little_all_the_time_is_let_go_too)
{
    block();
    for (int i = 0; i < TIMEOUT_S * 2 && !slow.session.is_ending; i++) {
        slow.taken_bytes += FT_TAKEN_MIN / TIMEOUT_S - 10;
        ft_fake_node_pass(&node, 1000);
        cr_assert(i >= TIMEOUT_S - 1 || !slow.session.is_ending, "second %d", i);
    }
    cr_assert(slow.session.is_ending);
}

Test(slow, who_takes_enough_in_each_interval_stays)
{
    block();
    for (int i = 0; i < 10; i++) {
        slow.taken_bytes += FT_TAKEN_MIN;
        ft_fake_node_pass(&node, TIMEOUT_S * 1000);
        cr_assert_not(slow.session.is_ending, "interval %d", i);
    }
    ft_fake_node_pass(&node, TIMEOUT_S * 1000 + 500);
    cr_assert(slow.session.is_ending, "and goes when it stops");
}

Test(slow, whose_socket_opens_in_each_interval_stays)
{
    block();
    for (int i = 0; i < 10; i++) {
        ft_fake_node_pass(&node, TIMEOUT_S * 1000 - 1000);
        publish("p/a", i);
        read_on(1);
        cr_assert(slow.session.is_blocked);
        cr_assert_not(slow.session.is_ending, "interval %d", i);
    }
}

/* ---- signs of life ---- */

/* Our PING stands behind what it has not read yet, so that it cannot answer. */
Test(slow, who_reads_is_not_given_up_for_its_silence)
{
    block();
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 6; k++) { /* a minute; enough for limits.write_timeout */
            slow.taken_bytes += FT_TAKEN_MIN;
            slow.silence_ms += 10000;
            ft_fake_node_pass(&node, 10000);
            cr_assert_not(slow.session.is_ending, "minute %d", i);
        }
    }
}

Test(slow, who_neither_reads_nor_answers_is_given_up)
{
    block();
    slow.session.asker.worker->settings->options.write_timeout_s = 3600;
    for (int i = 0; i < 11; i++) {
        slow.silence_ms += 10000;
        ft_fake_node_pass(&node, 10000);
        cr_assert(!slow.session.is_ending || i >= 4, "after %d s", 10 * (i + 1));
    }
    cr_assert(slow.session.is_ending);
}

/* ---- options that change ---- */

static void configure(enum ft_slow policy, size_t queue_bytes, size_t message_bytes,
                      uint32_t topics)
{
    struct ft_hub_options options = options_of(policy, queue_bytes);
    options.message_bytes = message_bytes;
    options.topics = topics;
    ft_hub_configure(node.hub, &options);
}

Test(slow, limits_change_with_the_next_turn)
{
    char *text = ft_alloc(2001);
    memset(text, ' ', 2000);
    text[2000] = '\0';
    memcpy(text, "{\"op\":\"ping\",\"id\":1}", 20);
    ft_fake_node_begin(&node, 0);
    configure(FT_SLOW_PARK, QUEUE, 4096, 1);
    ft_fake_client_receive(&other,
                           ft_slice_str("{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\",\"b\"]}"));
    (void)ft_fake_node_end(&node, 0);
    assert_told(&other, "ok@0");
    ft_fake_client_say(&other, "{\"op\":\"sub\",\"id\":2,\"topics\":[\"c\"]}");
    assert_told(&other, "error(429)");
    ft_fake_client_say(&other, text);
    assert_told(&other, "ok");
    configure(FT_SLOW_PARK, QUEUE, 1999, 5);
    ft_fake_client_say(&other, "{\"op\":\"sub\",\"id\":2,\"topics\":[\"c\"]}");
    assert_told(&other, "ok@0");
    ft_fake_client_say(&other, text);
    assert_told(&other, "close(1009)");
    free(text);
}

Test(slow, policies_change_with_the_next_turn)
{
    block();
    while (!slow.session.feed)
        publish("p/a", 1);
    configure(FT_SLOW_DISCONNECT, QUEUE, 1024, 5);
    publish("p/a", 2);
    cr_assert(slow.session.is_ending);
}

Test(slow, a_larger_queue_holds_more)
{
    block();
    configure(FT_SLOW_PARK, (size_t)4 * QUEUE, 1024, 5);
    while (!slow.session.feed)
        publish("p/a", 1);
    cr_assert_gt(slow.session.outbox.bytes, 4 * QUEUE);
    cr_assert_lt(slow.session.outbox.bytes, 5 * QUEUE);
}
