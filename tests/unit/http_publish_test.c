/* Publishing over HTTP where Redis numbers: answers wait for it, and say of each publication what became of it. */
#include "tests/unit/support/fake_http.h"
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct ft_fake_relay relay;
static struct ft_fake_node node;
static struct ft_fake_http http;

static void setup(void)
{
    ft_fake_relay_init(&relay, &(struct ft_partitions){.count = 2, .hash_levels = 2});
    ft_fake_http_init_cluster(&node, &(struct ft_http_options){0}, 1, &relay);
    ft_fake_http_open(&node, &http, 0);
}

static void teardown(void)
{
    ft_fake_http_close(&http);
    ft_fake_node_fini(&node);
    ft_fake_relay_fini(&relay);
}

TestSuite(http_publish, .init = setup, .fini = teardown);

static void post(const char *fields, const char *body)
{
    char text[4096];
    snprintf(text, sizeof(text),
             "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "%sContent-Length: %zu\r\n\r\n%s",
             fields, strlen(body), body);
    ft_fake_http_say(&http, text);
}

static const char *told(void)
{
    ft_fake_node_settle(&node);
    return ft_fake_http_told(&http);
}

/* Two topics of two partitions. */
static const char *const topics[2] = {"a", "b"};

Test(http_publish, one_is_answered_when_redis_has_it)
{
    post("", "{\"topic\":\"a\",\"data\":1}");
    cr_assert_str_eq(told(), "");
    struct ft_relay_batch *batch = ft_fake_relay_take(&relay);
    ft_fake_relay_accept(&node, batch, 7);
    batch->results[0].is_duplicate = true;
    cr_assert_str_eq(told(), "200 {\"pos\":\"teststream.7\",\"duplicate\":true}\n");
}

Test(http_publish, one_that_fails_has_that_status_and_says_when_to_come_again)
{
    post("", "{\"topic\":\"a\",\"data\":1}");
    ft_fake_relay_refuse(&node, ft_fake_relay_take(&relay), FT_ERR_TIMEOUT);
    cr_assert_str_eq(told(), "504 {\"error\":{\"code\":504,\"message\":\"no answer in time\"}}\n");
    cr_assert_not_null(strstr(ft_fake_http_fields(), "Retry-After: 1\r\n"));

    post("Accept: application/msgpack\r\n", "{\"topic\":\"a\",\"data\":1}");
    ft_fake_relay_refuse(&node, ft_fake_relay_take(&relay), FT_ERR_UNAVAILABLE);
    cr_assert_eq(strncmp(told(),
                         "503 \x81\xa5"
                         "error",
                         11),
                 0);

    relay.room = 0;
    post("", "{\"topic\":\"a\",\"data\":1}");
    cr_assert_eq(strncmp(told(), "503 {", 5), 0);
    cr_assert_not_null(strstr(ft_fake_http_fields(), "Retry-After: 1\r\n"));
}

Test(http_publish, of_an_array_each_has_its_own_outcome)
{
    uint32_t of_a = ft_partition_of(&relay.interest.partitions, ft_slice_str(topics[0])),
             of_b = ft_partition_of(&relay.interest.partitions, ft_slice_str(topics[1]));
    cr_assert_neq(of_a, of_b);
    post("", "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"b\",\"data\":1},{\"topic\":\"+\"},"
             "{\"topic\":\"b\",\"data\":2},{\"topic\":\"a\",\"data\":2}]");
    cr_assert_eq(relay.batches, 2);
    struct ft_relay_batch *batch = ft_fake_relay_take(&relay);
    cr_assert_eq(batch->partition, of_a);
    ft_fake_relay_accept(&node, batch, 7);
    cr_assert_str_eq(told(), "", "the answer waits for all of them");
    ft_fake_relay_refuse(&node, ft_fake_relay_take(&relay), FT_ERR_UNAVAILABLE);
    static const char failure[] =
        "{\"error\":{\"code\":503,\"message\":\"the broker cannot do that "
        "now\",\"retry\":1000}}";
    char expected[1024];
    snprintf(expected, sizeof(expected),
             "200 {\"results\":[{\"pos\":\"teststream.7\"},%s,{\"error\":{\"code\":400,", failure);
    const char *sent = told();
    cr_assert_eq(strncmp(sent, expected, strlen(expected)), 0, "%s", sent);
    snprintf(expected, sizeof(expected), "}},%s,{\"pos\":\"teststream.8\"}]}\n", failure);
    cr_assert_not_null(strstr(sent, expected), "%s", sent);
}

Test(http_publish, answers_keep_the_order_of_requests)
{
    post("", "{\"topic\":\"a\",\"data\":1}");
    post("", "{\"topic\":\"b\",\"data\":1}");
    struct ft_relay_batch *first = ft_fake_relay_take(&relay), *second = ft_fake_relay_take(&relay);
    ft_fake_relay_accept(&node, second, 20);
    cr_assert_str_eq(told(), "");
    ft_fake_relay_accept(&node, first, 10);
    cr_assert_str_eq(told(), "200 {\"pos\":\"teststream.10\"}\n200 {\"pos\":\"teststream.20\"}\n");
}

Test(http_publish, who_is_gone_before_the_answer_is_not_called)
{
    post("", "[{\"topic\":\"a\",\"data\":1},{\"topic\":\"b\",\"data\":1}]");
    ft_fake_relay_accept(&node, ft_fake_relay_take(&relay), 7);
    ft_fake_http_close(&http);
    ft_fake_node_settle(&node);
    ft_fake_relay_refuse(&node, ft_fake_relay_take(&relay), FT_ERR_TIMEOUT);
    ft_fake_node_settle(&node);
    ft_fake_http_open(&node, &http, 0);
}
