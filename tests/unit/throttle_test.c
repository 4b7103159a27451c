/* `every`: windows, the newest of each topic, the last one of a burst, and what happens when filters
 * change, when too much waits, and when the reader is slow. */
#include "broker/hub/feed.h"
#include "broker/hub/throttle.h"
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct ft_fake_node node;
static struct ft_fake_client client, publisher;

static void setup(void)
{
    ft_fake_node_init(&node, &(struct ft_journal_options){0}, &(struct ft_hub_options){0}, 1);
    ft_fake_client_open(&node, &publisher, 0, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
}

static void teardown(void)
{
    ft_fake_node_fini(&node);
}

TestSuite(throttle, .init = setup, .fini = teardown, .timeout = 30);

static void publish(const char *topic, int value)
{
    char text[128];
    snprintf(text, sizeof(text), "{\"op\":\"pub\",\"topic\":\"%s\",\"data\":%d}", topic, value);
    ft_fake_client_say(&publisher, text);
}

/* What came since the last call: "TOPIC=VALUE", and "gap" or "ok" for those. */
static void assert_got(const char *expected)
{
    char got[4096] = "";
    const char *line = ft_fake_client_sent(&client);
    for (; *line; line = strchr(line, '\n') + 1) {
        char topic[64];
        int value;
        if (sscanf(line, "{\"op\":\"msg\",\"topic\":\"%63[^\"]\",\"data\":%d", topic, &value) == 2)
            sprintf(got + strlen(got), " %s=%d", topic, value);
        else if (strncmp(line, "{\"op\":\"gap\"", 11) == 0)
            strcat(got, " gap");
        else
            strcat(got, strncmp(line, "{\"op\":\"ok\"", 10) == 0 ? " ok" : " ?");
    }
    cr_assert_str_eq(got[0] ? got + 1 : "", expected);
    ft_fake_client_forget(&client);
}

static void sub(const char *rest)
{
    char text[256];
    snprintf(text, sizeof(text), "{\"op\":\"sub\",%s}", rest);
    ft_fake_client_say(&client, text);
}

Test(throttle, the_first_comes_at_once_and_then_the_newest_of_each_window)
{
    sub("\"topics\":[\"a\"],\"every\":100");
    publish("a", 1);
    assert_got("a=1");
    cr_assert_eq(node.hurry_ms, 0, "nothing waits");
    publish("a", 2);
    publish("a", 3);
    cr_assert_eq(node.hurry_ms, FT_QUICK_TICK_MS);
    ft_fake_node_pass(&node, 90);
    assert_got("");
    ft_fake_node_pass(&node, 20);
    assert_got("a=3");
    publish("a", 4);
    ft_fake_node_pass(&node, 90);
    publish("a", 5);
    ft_fake_node_pass(&node, 20);
    assert_got("a=5");
    cr_assert_eq(node.hurry_ms, 0, "nobody has to be quick any more");
}

Test(throttle, after_a_quiet_window_the_next_comes_at_once)
{
    sub("\"topics\":[\"a\"],\"every\":100");
    publish("a", 1);
    ft_fake_node_pass(&node, 100);
    publish("a", 2);
    assert_got("a=1 a=2");
    publish("a", 3);
    assert_got("");
}

Test(throttle, of_each_topic_one_in_the_order_of_offsets)
{
    sub("\"topics\":[\"#\"],\"every\":1000");
    publish("x", 0);
    assert_got("x=0");
    publish("a", 1);
    publish("b", 2);
    publish("a", 3);
    publish("c", 4);
    publish("b", 5);
    ft_fake_node_pass(&node, 1010);
    assert_got("a=3 c=4 b=5");
}

Test(throttle, the_newest_of_a_batch_is_what_counts)
{
    sub("\"topics\":[\"a\"],\"every\":100");
    ft_fake_client_say(&publisher, "[{\"op\":\"pub\",\"topic\":\"a\",\"data\":1},"
                                   "{\"op\":\"pub\",\"topic\":\"a\",\"data\":2},"
                                   "{\"op\":\"pub\",\"topic\":\"a\",\"data\":3}]");
    assert_got("a=3");
}

Test(throttle, another_filter_without_every_brings_everything_once)
{
    sub("\"topics\":[\"#\"],\"every\":100");
    sub("\"topics\":[\"a/+\"]");
    for (int i = 1; i <= 3; i++) {
        publish("a/b", i);
        publish("c", i);
    }
    assert_got("a/b=1 c=1 a/b=2 a/b=3");
    ft_fake_node_pass(&node, 200);
    assert_got("c=3");
}

Test(throttle, of_two_lengths_the_shorter_counts)
{
    sub("\"topics\":[\"#\"],\"every\":1000");
    sub("\"topics\":[\"a\"],\"every\":100");
    publish("a", 1);
    publish("b", 1);
    assert_got("a=1 b=1");
    publish("a", 2);
    publish("b", 2);
    ft_fake_node_pass(&node, 110);
    assert_got("a=2");
    ft_fake_node_pass(&node, 900);
    assert_got("b=2");
}

Test(throttle, subscribing_again_replaces_the_length)
{
    sub("\"topics\":[\"a\"],\"every\":100000");
    publish("a", 1);
    publish("a", 2);
    sub("\"topics\":[\"a\"],\"every\":50,\"id\":1");
    assert_got("a=1 a=2 ok"); /* what was held back comes before */
    publish("a", 3);
    publish("a", 4);
    ft_fake_node_pass(&node, 60);
    assert_got("a=3 a=4");
    sub("\"topics\":[\"a\"],\"id\":2");
    for (int i = 5; i < 8; i++)
        publish("a", i);
    assert_got("ok a=5 a=6 a=7");
    cr_assert_null(client.session.throttles, "nobody uses it");
}

Test(throttle, what_is_held_back_comes_before_an_unsub_and_other_filters_go_on)
{
    sub("\"topics\":[\"a\",\"b\"],\"every\":100000");
    publish("a", 1);
    publish("b", 1);
    publish("a", 2);
    ft_fake_client_say(&client, "{\"op\":\"unsub\",\"topics\":[\"a\"],\"id\":1}");
    assert_got("a=1 b=1 a=2 ok");
    publish("b", 2);
    publish("a", 3);
    ft_fake_client_say(&client, "{\"op\":\"unsub\",\"topics\":[\"b\"],\"id\":2}");
    assert_got("b=2 ok");
    cr_assert_null(client.session.throttles);
    cr_assert_eq(node.hurry_ms, 0);
}

Test(throttle, a_session_that_goes_takes_its_window_with_it)
{
    sub("\"topics\":[\"a\"],\"every\":100");
    publish("a", 1);
    publish("a", 2);
    ft_fake_client_close(&client);
    cr_assert_eq(node.hurry_ms, 0);
    publish("a", 3);
    ft_fake_node_pass(&node, 1000);
}

/* Half of limits.queue: 2048 bytes, of frames of about 90. */
Test(throttle, a_window_ends_early_rather_than_that_much_waits)
{
    char topic[16];
    sub("\"topics\":[\"#\"],\"every\":3600000");
    publish("t/0", 0);
    assert_got("t/0=0");
    for (int i = 1; i <= 21; i++) {
        snprintf(topic, sizeof(topic), "t/%d", i);
        publish(topic, i);
    }
    assert_got("");
    cr_assert_leq(client.session.throttles->waiting.bytes, 2048);
    for (int i = 22; i <= 30 && client.sent.len == 0; i++) {
        snprintf(topic, sizeof(topic), "t/%d", i);
        publish(topic, i);
    }
    cr_assert_not_null(strstr(ft_fake_client_sent(&client), "\"t/1\""));
    cr_assert_eq(client.session.throttles->waiting.count, 0);
    cr_assert_eq(node.hurry_ms, 0);
}

static void flood(int from, int to)
{
    char topic[16];
    for (int i = from; i <= to; i++) {
        snprintf(topic, sizeof(topic), "t/%d", i % 200);
        publish(topic, i);
    }
}

static void read_on(void)
{
    ft_fake_node_begin(&node, 0);
    ft_fake_client_unblock(&client, FT_FAKE_ALL);
    (void)ft_fake_node_end(&node, 0);
    ft_fake_node_settle(&node);
}

/* The last value that came of topic t/N. */
static int last_value(int n)
{
    char begin[64];
    int value = -1;
    snprintf(begin, sizeof(begin), "\"topic\":\"t/%d\",\"data\":", n);
    for (const char *at = ft_fake_client_sent(&client); (at = strstr(at, begin)); at++)
        value = atoi(at + strlen(begin));
    return value;
}

/* Blocked while 20 rounds of 200 topics go by, 60 ms each; then it reads on. */
static void miss_twenty_rounds(void)
{
    client.takes = 1;
    for (int round = 0; round < 20; round++) {
        flood(round * 200, round * 200 + 199);
        ft_fake_node_pass(&node, 60);
    }
    cr_assert(client.session.is_blocked);
    cr_assert_not_null(client.session.feed);
    cr_assert_leq(client.session.outbox.bytes, 2 * 4096 + 4096);
    size_t waiting = 0;
    for (const struct ft_throttle *t = client.session.throttles; t; t = t->next)
        waiting += t->waiting.bytes;
    cr_assert_leq(waiting, 4096);
    ft_fake_client_forget(&client);
    read_on();
}

static void assert_newest(void)
{
    cr_assert_null(client.session.feed);
    for (int n = 0; n < 200; n++)
        cr_assert_eq(last_value(n), 19 * 200 + n, "topic t/%d: %d", n, last_value(n));
}

Test(throttle, who_reads_nothing_is_left_to_the_journal_and_gets_the_newest_in_the_end)
{
    sub("\"topics\":[\"t/+\"],\"every\":50");
    miss_twenty_rounds();
    ft_fake_node_pass(&node, 200);
    assert_newest();
}

Test(throttle, a_topic_that_goes_directly_from_now_on_is_not_followed_by_an_older_value)
{
    for (int i = 1; i <= 4; i++)
        publish("a", i);
    sub("\"topics\":[\"b\"],\"every\":100");
    sub("\"topics\":[\"#\"],\"since\":[\"teststream.0\"],\"every\":100");
    assert_got("a=1 a=4"); /* the feed is through: nothing is held back beyond it */
    sub("\"topics\":[\"a\"]");
    publish("a", 5);
    ft_fake_node_pass(&node, 300);
    assert_got("a=5");
}

Test(throttle, an_every_out_of_bounds_is_refused)
{
    sub("\"topics\":[\"a\"],\"every\":3600001,\"id\":1");
    cr_assert_not_null(strstr(ft_fake_client_sent(&client), "\"code\":400"));
    ft_fake_client_forget(&client);
    sub("\"topics\":[\"a\"],\"every\":3600000,\"id\":1");
    assert_got("ok");
    sub("\"topics\":[\"a\"],\"every\":0,\"id\":2");
    publish("a", 1);
    publish("a", 2);
    assert_got("ok a=1 a=2");
}

Test(throttle, a_longer_every_beside_it_loses_nothing)
{
    sub("\"topics\":[\"t/+\"],\"every\":5000");
    sub("\"topics\":[\"t/#\"],\"every\":9000");
    client.takes = 1;
    int n = 0;
    for (; !client.session.feed; n++)
        flood(n, n);
    read_on();
    ft_fake_node_pass(&node, 15000);
    for (int i = n > 200 ? n - 200 : 0; i < n; i++)
        cr_assert_eq(last_value(i % 200), i, "topic t/%d: %d", i % 200, last_value(i % 200));
}

Test(throttle, who_catches_up_is_not_flooded_either)
{
    for (int i = 1; i <= 20; i++) {
        publish("a", i);
        publish("b", i);
    }
    ft_fake_client_say(&client,
                       "[{\"op\":\"sub\",\"topics\":[\"b\"],\"since\":[\"teststream.0\"],"
                       "\"every\":100000},"
                       "{\"op\":\"sub\",\"topics\":[\"a\"],\"since\":[\"teststream.0\"]}]");
    int a = 0, b = 0;
    for (const char *at = ft_fake_client_sent(&client); (at = strstr(at, "\"topic\":\"")); at++) {
        a += at[9] == 'a';
        b += at[9] == 'b';
    }
    cr_assert_eq(a, 20);
    cr_assert_eq(b, 2, "%d: the first, and the newest when it is through", b);
    cr_assert_not_null(strstr(ft_fake_client_sent(&client), "\"topic\":\"b\",\"data\":20,"));
}
