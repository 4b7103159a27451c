/* `history`: what it answers from, how much, and in which order. */
#include "broker/base/alloc.h"
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { QUEUE = 16384 };

static struct ft_fake_node node;
static struct ft_fake_client client;

static void begin(size_t journal_bytes)
{
    struct ft_policies *policies = ft_policies_new();
    cr_assert(ft_policies_add(policies, ft_slice_str("h/#"), &(struct ft_policy){.history = 3}));
    cr_assert(
        ft_policies_add(policies, ft_slice_str("e/#"), &(struct ft_policy){.ephemeral = true}));
    ft_fake_node_init(&node, &(struct ft_journal_options){.size_bytes = journal_bytes},
                      &(struct ft_hub_options){.policies = policies, .queue_bytes = QUEUE}, 1);
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
}

static void setup(void)
{
    begin((size_t)4 << 20);
}

static void setup_small(void)
{
    begin(16384);
}

static void teardown(void)
{
    ft_fake_node_fini(&node);
}

TestSuite(history, .init = setup, .fini = teardown, .timeout = 30);
TestSuite(history_small, .init = setup_small, .fini = teardown, .timeout = 30);

static void publish_as(const char *topic, const char *data, const char *rest)
{
    char *text = ft_alloc(strlen(data) + 256);
    sprintf(text, "{\"op\":\"pub\",\"topic\":\"%s\",\"data\":%s%s}", topic, data, rest);
    ft_fake_client_say(&client, text);
    free(text);
}

static void publish(const char *topic, int value)
{
    char data[16];
    snprintf(data, sizeof(data), "%d", value);
    publish_as(topic, data, "");
}

/* Asks; returns the reply, to be json_decref()ed. */
static json_t *ask(const char *rest)
{
    char text[256];
    snprintf(text, sizeof(text), "{\"op\":\"history\",\"id\":1,%s}", rest);
    ft_fake_client_say(&client, text);
    json_t *reply = json_loads(ft_fake_client_sent(&client), JSON_DISABLE_EOF_CHECK, NULL);
    cr_assert_not_null(reply, "%.200s", ft_fake_client_sent(&client));
    ft_fake_client_forget(&client);
    return reply;
}

/* Asks, and compares the answer: "+" recovered, "-" not, and DATA@OFFSET of each message. */
static void assert_history(const char *rest, const char *expected)
{
    json_t *reply = ask(rest), *message;
    char got[4096] = "";
    cr_assert_str_eq(json_string_value(json_object_get(reply, "op")), "ok", "%s", rest);
    cr_assert_eq(json_integer_value(json_object_get(reply, "id")), 1);
    json_t *recovered = json_object_get(reply, "recovered");
    if (recovered)
        strcat(got, json_is_true(recovered) ? "+" : "-");
    size_t i;
    json_array_foreach(json_object_get(reply, "messages"), i, message)
    {
        const char *pos = json_string_value(json_object_get(message, "pos"));
        cr_assert_eq(strncmp(pos, "teststream.", 11), 0);
        cr_assert_eq(json_integer_value(json_object_get(message, "at")), (json_int_t)node.wall_ms);
        cr_assert_null(json_object_get(message, "op"));
        sprintf(got + strlen(got), "%s%d@%s", got[0] ? " " : "",
                (int)json_integer_value(json_object_get(message, "data")), pos + 11);
    }
    cr_assert_str_eq(got, expected, "%s: %s", rest, got);
    json_decref(reply);
}

static void assert_refused(const char *rest, int code)
{
    json_t *reply = ask(rest);
    cr_assert_eq(json_integer_value(json_object_get(reply, "code")), code, "%s", rest);
    json_decref(reply);
}

static void push_out(void)
{
    uint64_t head = ft_journal_head(node.journal);
    for (int i = 0; ft_journal_tail(node.journal) < head; i++)
        publish("out", i);
}

Test(history, is_the_latest_of_one_topic_oldest_first)
{
    for (int i = 1; i <= 4; i++) {
        publish("a", i);
        publish("b", -i);
    }
    assert_history("\"topic\":\"a\"", "1@1 2@3 3@5 4@7");
    assert_history("\"topic\":\"a\",\"last\":2", "3@5 4@7");
    assert_history("\"topic\":\"a\",\"last\":0", "");
    assert_history("\"topic\":\"a\",\"last\":100000", "1@1 2@3 3@5 4@7");
    assert_history("\"topic\":\"nothing\"", "");
}

Test(history, holds_what_was_published_in_the_same_breath)
{
    ft_fake_client_say(&client, "[{\"op\":\"pub\",\"topic\":\"a\",\"data\":1},"
                                "{\"op\":\"history\",\"id\":1,\"topic\":\"a\"}]");
    cr_assert_not_null(strstr(ft_fake_client_sent(&client), "\"messages\":[{\"topic\":\"a\","));
}

Test(history, since_is_the_oldest_after_a_position)
{
    for (int i = 1; i <= 5; i++)
        publish("a", i);
    assert_history("\"topic\":\"a\",\"since\":\"teststream.2\"", "+ 3@3 4@4 5@5");
    assert_history("\"topic\":\"a\",\"since\":\"teststream.2\",\"limit\":2", "+ 3@3 4@4");
    assert_history("\"topic\":\"a\",\"since\":\"teststream.5\"", "+");
    assert_history("\"topic\":\"a\",\"since\":\"teststream.0\",\"limit\":1", "+ 1@1");
    assert_history("\"topic\":\"a\",\"since\":\"teststream.6\"", "- 1@1 2@2 3@3 4@4 5@5");
    assert_history("\"topic\":\"a\",\"since\":\"otherlife0.3\",\"limit\":2", "- 1@1 2@2");
    assert_history("\"topic\":\"a\",\"since\":\"teststream.3\",\"last\":1", "+ 4@4 5@5");
}

Test(history_small, since_before_the_tail_says_so)
{
    publish("a", 1);
    push_out();
    publish("a", 2);
    char expected[32];
    snprintf(expected, sizeof(expected), "- 2@%d", (int)ft_journal_head(node.journal));
    assert_history("\"topic\":\"a\",\"since\":\"teststream.0\"", expected);
}

Test(history_small, goes_beyond_the_journal_where_the_policy_says_so)
{
    for (int i = 1; i <= 5; i++)
        publish("h/x", i);
    push_out();
    assert_history("\"topic\":\"h/x\"", "3@3 4@4 5@5");
    assert_history("\"topic\":\"h/x\",\"last\":2", "4@4 5@5");
    assert_history("\"topic\":\"h/x\",\"since\":\"teststream.3\"", "- 4@4 5@5");
    publish("h/x", 6);
    char expected[64];
    snprintf(expected, sizeof(expected), "4@4 5@5 6@%d", (int)ft_journal_head(node.journal));
    assert_history("\"topic\":\"h/x\"", expected);
}

Test(history, has_three_of_a_topic_that_keeps_three_though_the_journal_has_more)
{
    for (int i = 1; i <= 5; i++)
        publish("h/x", i);
    assert_history("\"topic\":\"h/x\"", "3@3 4@4 5@5");
}

Test(history, knows_nothing_of_what_is_ephemeral_or_past_its_time)
{
    publish("e/x", 1);
    assert_history("\"topic\":\"e/x\"", "");
    publish_as("a", "1", ",\"ttl\":1");
    publish("a", 2);
    assert_history("\"topic\":\"a\"", "1@2 2@3");
    node.mono_ms += 1200;
    assert_history("\"topic\":\"a\"", "2@3");
    assert_history("\"topic\":\"a\",\"last\":1", "2@3");
}

Test(history, wants_one_valid_topic_and_one_position)
{
    assert_refused("\"last\":1", 400);
    assert_refused("\"topic\":\"a/#\"", 400);
    assert_refused("\"topic\":\"\"", 400);
    assert_refused("\"topic\":\"a\",\"since\":[\"teststream.1\"]", 400);
    assert_refused("\"topic\":\"a\",\"since\":\"teststream\"", 400);
    assert_refused("\"topic\":\"a\",\"last\":-1", 400);
    ft_fake_client_say(&client, "{\"op\":\"history\",\"topic\":\"a\"}");
    cr_assert_eq(client.sent.len, 0, "nobody asked for a reply");
}

Test(history, a_hundred_by_default_and_a_thousand_at_most)
{
    struct ft_hub_options options = {.node = "n1",
                                     .message_bytes = 1 << 16,
                                     .topics = 10,
                                     .queue_bytes = (size_t)1 << 20,
                                     .flush_bytes = 1024,
                                     .ping_s = 25};
    ft_hub_configure(node.hub, &options);
    for (int i = 1; i <= 1500; i++)
        publish("a", i);
    static const struct {
        const char *rest;
        int count, first;
    } rows[] = {{"\"topic\":\"a\"", 100, 1401},
                {"\"topic\":\"a\",\"last\":5000", 1000, 501},
                {"\"topic\":\"a\",\"since\":\"teststream.7\"", 100, 8},
                {"\"topic\":\"a\",\"since\":\"teststream.7\",\"limit\":5000", 1000, 8}};
    for (size_t i = 0; i < 4; i++) {
        json_t *reply = ask(rows[i].rest), *messages = json_object_get(reply, "messages");
        cr_assert_eq(json_array_size(messages), rows[i].count, "%s", rows[i].rest);
        for (int k = 0; k < rows[i].count; k++) {
            json_t *message = json_array_get(messages, (size_t)k);
            cr_assert_eq(json_integer_value(json_object_get(message, "data")), rows[i].first + k);
        }
        json_decref(reply);
    }
}

/* Replies keep to half of limits.queue: 8192 bytes, and messages of about 1100. */
Test(history, a_reply_has_half_a_queue_of_bytes_at_most)
{
    char data[1024];
    for (int i = 1; i <= 20; i++) {
        memset(data, 'x', sizeof(data));
        data[0] = data[1022] = '"';
        data[1] = (char)('a' + i);
        data[1023] = '\0';
        publish_as("a", data, "");
    }
    for (int is_since = 0; is_since < 2; is_since++) {
        ft_fake_client_say(&client, is_since ? "{\"op\":\"history\",\"id\":1,\"topic\":\"a\","
                                               "\"since\":\"teststream.2\"}"
                                             : "{\"op\":\"history\",\"id\":1,\"topic\":\"a\"}");
        cr_assert_leq(client.sent.len, QUEUE / 2 + 100);
        cr_assert_gt(client.sent.len, QUEUE / 2 - 1200);
        const char *sent = ft_fake_client_sent(&client);
        cr_assert_eq(strstr(sent, "teststream.3\"") != NULL, is_since, "since: the oldest");
        cr_assert_eq(strstr(sent, "teststream.20\"") != NULL, !is_since, "last: the newest");
        cr_assert_null(strstr(sent, is_since ? "teststream.2\"" : "teststream.1\""));
        ft_fake_client_forget(&client);
    }
}

Test(history, one_message_that_is_larger_than_that_comes_all_the_same)
{
    char *data = ft_alloc(12001);
    memset(data, 'x', 12000);
    data[0] = data[11999] = '"';
    data[12000] = '\0';
    publish("a", 1);
    publish_as("a", data, "");
    json_t *reply = ask("\"topic\":\"a\"");
    cr_assert_eq(json_array_size(json_object_get(reply, "messages")), 1);
    json_decref(reply);
    reply = ask("\"topic\":\"a\",\"since\":\"teststream.1\"");
    cr_assert_eq(json_array_size(json_object_get(reply, "messages")), 1);
    json_decref(reply);
    free(data);
}
