/* Looking back on a node that has not joined the topic's partition yet: the answer waits, whoever asks. */
#include "broker/hub/join_wait.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "broker/base/log.h"
#include "tests/unit/support/fake_http.h"
#include "tests/unit/support/fake_relay.h"

enum { DEADLINE_MS = 2000, TICK_MS = FT_WHEEL_TICK_MS };

static struct ft_fake_node node;
static struct ft_fake_relay relay;
static struct ft_fake_http http;
static struct ft_fake_client client;
static struct ft_journal_writer *writer;

static void setup(void)
{
    ft_log_set_level(FT_LOG_WARN);
    ft_fake_relay_init(&relay, &(struct ft_partitions){.count = 1, .hash_levels = 1});
    ft_fake_http_init_cluster(&node, &(struct ft_http_options){0}, 1, &relay);
    ft_fake_http_open(&node, &http, 0);
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
    writer = ft_journal_writer_new(node.journal);
}

static void teardown(void)
{
    if (http.conn)
        ft_fake_http_close(&http);
    ft_journal_writer_free(writer);
    ft_fake_node_fini(&node);
    cr_assert_not(ft_interest_is_wanted(&relay.interest, 0), "nobody is left");
    ft_fake_relay_fini(&relay);
}

TestSuite(join_wait, .init = setup, .fini = teardown);

/* What the relay does: what it has found, then word of it. */
static void join(void)
{
    char name[FT_STREAM_NAME_LEN + 1];
    ft_stream_name_of(0, (const uint8_t[FT_STREAM_RANDOM_BYTES]){1}, name);
    ft_journal_open_stream(node.journal, 0, name, 6);
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str("a"),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("1")},
        .entry = FT_ENTRY_WARM,
        .seq = 7,
    };
    struct ft_publication *p = ft_journal_build(writer, &spec);
    cr_assert(ft_journal_append(writer, &p, 1, 1));
    ft_interest_joined(&relay.interest, 0);
    ft_fake_node_settle(&node);
}

#define GET(query) "GET /v1/history?" query " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static const char *told(void)
{
    return ft_fake_http_told(&http);
}

Test(join_wait, an_http_request_is_answered_when_the_partition_is_joined)
{
    ft_fake_http_say(&http, GET("topic=a&last=3"));
    cr_assert_str_eq(told(), "");
    cr_expect(ft_interest_is_wanted(&relay.interest, 0));
    cr_expect_eq(relay.interests, 1);
    join();
    const char *answer = told();
    cr_expect_eq(strncmp(answer, "200 {\"messages\":[{\"topic\":\"a\",\"data\":1,", 38), 0, "%s",
                 answer);
    cr_expect_not(ft_interest_is_wanted(&relay.interest, 0), "that was all");
}

Test(join_wait, requests_are_answered_in_their_order)
{
    ft_fake_http_say(&http, GET("topic=a") GET("topic=a/%2B") GET("topic=b"));
    cr_assert_str_eq(told(), "");
    join();
    const char *answer = told();
    cr_expect_eq(strncmp(answer, "200 {\"messages\":[{", 18), 0, "%s", answer);
    cr_expect(strstr(answer, "}\n400 {\"error\""), "%s", answer);
    cr_expect(strstr(answer, "}\n200 {\"messages\":[]}\n"), "%s", answer);
}

Test(join_wait, an_http_request_is_answered_at_the_deadline_with_what_is_known)
{
    ft_fake_http_say(&http, GET("topic=a"));
    ft_fake_node_pass(&node, DEADLINE_MS - TICK_MS);
    cr_assert_str_eq(told(), "");
    ft_fake_node_pass(&node, 2 * TICK_MS);
    cr_assert_str_eq(told(), "200 {\"messages\":[]}\n");
}

Test(join_wait, nobody_waits_for_a_server_that_is_away_or_with_a_bad_request)
{
    ft_fake_http_say(&http, GET("topic="));
    cr_expect_eq(strncmp(told(), "400 ", 4), 0);
    relay.is_away = true;
    ft_fake_http_say(&http, GET("topic=a"));
    cr_expect_str_eq(told(), "200 {\"messages\":[]}\n");
    cr_expect_eq(relay.interests, 0);
}

Test(join_wait, who_looks_back_to_a_position_waits_for_a_server_that_is_away)
{
    relay.is_away = true;
    ft_fake_http_say(&http, GET("topic=a&since=x.1"));
    ft_fake_node_pass(&node, DEADLINE_MS - TICK_MS);
    cr_assert_str_eq(told(), "");
    cr_expect(ft_interest_is_wanted(&relay.interest, 0));
    join();
    const char *answer = told();
    cr_expect(strstr(answer, "{\"topic\":\"a\",\"data\":1,"), "%s", answer);
}

Test(join_wait, who_hangs_up_waits_no_more)
{
    ft_fake_http_say(&http, GET("topic=a"));
    ft_fake_http_close(&http);
    cr_expect_not(ft_interest_is_wanted(&relay.interest, 0));
    join();
}

Test(join_wait, a_session_looks_back_when_the_partition_is_joined)
{
    ft_fake_client_say(&client, "[{\"op\":\"history\",\"id\":1,\"topic\":\"a\"},"
                                "{\"op\":\"history\",\"id\":2,\"topic\":\"a/#\"},"
                                "{\"op\":\"ping\",\"id\":3}]");
    cr_assert_str_eq(ft_fake_client_sent(&client), "");
    cr_expect(ft_interest_is_wanted(&relay.interest, 0));
    join();
    const char *sent = ft_fake_client_sent(&client);
    const char *answer = "{\"op\":\"ok\",\"id\":1,\"messages\":[{\"topic\":\"a\",\"data\":1,";
    cr_expect_eq(strncmp(sent, answer, strlen(answer)), 0, "%s", sent);
    cr_expect(strstr(sent, "\n{\"op\":\"error\",\"id\":2,"), "%s", sent);
    cr_expect(strstr(sent, "\n{\"op\":\"ok\",\"id\":3}\n"), "%s", sent);
    cr_expect_not(ft_interest_is_wanted(&relay.interest, 0));
}
