/* Presence in the hub of a node of a cluster: what the relay is told and asked, and what becomes of its answers. */
#include "broker/core/presence.h"
#include "tests/unit/support/fake_http.h"
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { QUEUE = 65536 };

static struct ft_fake_node node;
static struct ft_fake_relay relay;
static struct ft_fake_client client;

static void setup(void)
{
    struct ft_policies *policies = ft_policies_new();
    cr_assert(
        ft_policies_add(policies, ft_slice_str("p/#"), &(struct ft_policy){.presence = true}));
    ft_fake_relay_init(&relay, &(struct ft_partitions){.count = 4, .hash_levels = 2});
    relay.is_away = true; /* so that nobody waits for a partition */
    ft_fake_node_init_cluster(&node, &(struct ft_journal_options){.size_bytes = 1 << 20},
                              &(struct ft_hub_options){.policies = policies, .queue_bytes = QUEUE},
                              2, &relay);
    client.who = ft_fake_identity(&(struct ft_fake_token){.user = "ann", .sub = "#", .pub = "#"});
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
}

static void teardown(void)
{
    ft_fake_node_fini(&node);
    ft_fake_relay_fini(&relay);
}

TestSuite(presence_cluster, .init = setup, .fini = teardown, .timeout = 30);

/* Says it, and returns what the client has been sent since the last call. */
static const char *say(const char *text)
{
    ft_buffer_clear(&client.sent);
    ft_fake_client_say(&client, text);
    return ft_fake_client_sent(&client);
}

static const char *settled(void)
{
    ft_buffer_clear(&client.sent);
    ft_fake_node_settle(&node);
    return ft_fake_client_sent(&client);
}

/* Takes a question, which has to be about this topic. */
static struct ft_relay_ask *asked(const char *topic)
{
    struct ft_relay_ask *ask = ft_fake_relay_asked(&relay);
    cr_assert_not_null(ask);
    cr_assert_eq(ask->kind, FT_ASK_PRESENCE);
    cr_assert(ft_slice_equal(ft_buffer_slice(&ask->body), ft_slice_str(topic)));
    return ask;
}

/* Answers with `listed` clients out of `count`, with users of so many characters. */
static void answer(struct ft_relay_ask *ask, uint32_t listed, uint64_t count, uint32_t user_len)
{
    char user[FT_PRESENT_USER_MAX];
    struct ft_present who = {.session = "0123456789abcde", .user = ft_slice(user, user_len)};
    struct ft_writer w;
    memset(user, 'u', sizeof(user));
    memset(who.session, 's', sizeof(who.session));
    ft_writer_init(&w, FT_MSGPACK, &ask->answer);
    ft_write_array(&w, listed);
    for (uint32_t i = 0; i < listed; i++) {
        who.since_ms = i;
        ft_presence_write_client(&w, &who);
    }
    ask->count = count;
    ft_fake_relay_answer(&node, ask);
}

Test(presence_cluster, the_relay_is_told_who_comes_and_goes)
{
    say("{\"op\":\"sub\",\"id\":1,\"topics\":[\"p/1\",\"p/+\",\"q\",\"p/2\"]}");
    cr_expect_str_eq(relay.changes, "+p/1 ann +p/2 ann");
    say("{\"op\":\"sub\",\"id\":1,\"topics\":[\"p/1\"]}");
    say("{\"op\":\"unsub\",\"id\":1,\"topics\":[\"p/1\",\"p/+\"]}");
    cr_expect_str_eq(relay.changes, "+p/1 ann +p/2 ann -p/1 ann");
    ft_fake_client_close(&client);
    cr_expect_str_eq(relay.changes, "+p/1 ann +p/2 ann -p/1 ann -p/2 ann");
}

Test(presence_cluster, the_answer_is_the_relays)
{
    cr_expect_str_eq(say("{\"op\":\"presence\",\"id\":\"x\",\"topic\":\"p/1\"}"), "");
    answer(asked("p/1"), 2, 7, 2);
    cr_expect_str_eq(settled(),
                     "{\"op\":\"ok\",\"id\":\"x\",\"count\":7,\"clients\":["
                     "{\"session\":\"ssssssssssssssss\",\"user\":\"uu\",\"since\":0},"
                     "{\"session\":\"ssssssssssssssss\",\"user\":\"uu\",\"since\":1}]}\n");
}

Test(presence_cluster, a_problem_is_told_with_its_time)
{
    say("{\"op\":\"presence\",\"id\":1,\"topic\":\"p/1\"}");
    struct ft_relay_ask *ask = asked("p/1");
    (void)ft_problem_set(&ask->problem, FT_ERR_UNAVAILABLE, "it is away");
    ask->problem.retry_ms = 1000;
    ft_fake_relay_answer(&node, ask);
    const char *told = settled();
    cr_expect(strstr(told, "\"code\":503") && strstr(told, "\"retry\":1000"), "%s", told);
}

Test(presence_cluster, what_may_not_be_asked_does_not_reach_the_relay)
{
    cr_expect_not_null(
        strstr(say("{\"op\":\"presence\",\"id\":1,\"topic\":\"q\"}"), "\"code\":404"));
    say("{\"op\":\"presence\",\"topic\":\"p/1\"}"); /* without an id there is nobody to answer */
    cr_expect_null(ft_fake_relay_asked(&relay));
}

Test(presence_cluster, a_ping_behind_it_is_answered_behind_it)
{
    cr_expect_str_eq(
        say("[{\"op\":\"presence\",\"id\":1,\"topic\":\"p/1\"},{\"op\":\"ping\",\"id\":2}]"), "");
    answer(asked("p/1"), 0, 0, 0);
    cr_expect_str_eq(settled(), "{\"op\":\"ok\",\"id\":1,\"count\":0,\"clients\":[]}\n"
                                "{\"op\":\"ok\",\"id\":2}\n");
}

Test(presence_cluster, who_is_gone_is_not_answered)
{
    say("[{\"op\":\"presence\",\"id\":1,\"topic\":\"p/1\"},"
        "{\"op\":\"presence\",\"id\":2,\"topic\":\"p/2\"}]");
    struct ft_relay_ask *first = asked("p/1");
    ft_fake_client_close(&client);
    answer(first, 1, 1, 0);
    ft_fake_node_settle(&node);
    answer(asked("p/2"), 1, 1, 0);
    ft_fake_node_settle(&node);
}

Test(presence_cluster, so_many_questions_may_wait_and_no_more)
{
    for (int i = 0; i < 64; i++)
        cr_assert_str_eq(say("{\"op\":\"presence\",\"id\":1,\"topic\":\"p/1\"}"), "");
    const char *told = say("{\"op\":\"presence\",\"id\":2,\"topic\":\"p/1\"}");
    cr_expect(strstr(told, "\"code\":429") && strstr(told, "\"retry\":"), "%s", told);
    answer(asked("p/1"), 0, 0, 0);
    cr_expect_str_eq(settled(), "{\"op\":\"ok\",\"id\":1,\"count\":0,\"clients\":[]}\n");
    cr_expect_str_eq(say("{\"op\":\"presence\",\"id\":3,\"topic\":\"p/1\"}"), "");
}

Test(presence_cluster, an_answer_takes_half_of_the_queue_at_most)
{
    say("{\"op\":\"presence\",\"id\":1,\"topic\":\"p/1\"}");
    answer(asked("p/1"), 1000, 5000, 200);
    const char *told = settled();
    size_t len = strlen(told);
    cr_expect(len > QUEUE / 2 - 400 && len < QUEUE / 2 + 100, "%zu", len);
    cr_expect_not_null(strstr(told, "\"count\":5000"));
    cr_expect_not_null(strstr(told, "\"since\":0}"));
}

Test(presence_cluster, a_client_that_reads_no_answers_gets_no_more)
{
    client.takes = 1;
    for (int i = 0; i < 20; i++)
        say("{\"op\":\"presence\",\"id\":1,\"topic\":\"p/1\"}");
    for (int i = 0; i < 20; i++) {
        struct ft_relay_ask *ask = ft_fake_relay_asked(&relay);
        if (!ask)
            break; /* asked no more, since it is not read any more */
        answer(ask, 1000, 1000, 200);
        ft_fake_node_settle(&node);
    }
    cr_expect_lt(client.session.outbox.own_bytes, 2 * QUEUE);
}
