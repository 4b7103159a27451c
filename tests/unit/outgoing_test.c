/* Publishing in a cluster, the hub's side: batches, what comes back, who hears of it, who has to wait. */
#include "broker/hub/outgoing.h"
#include "broker/hub/publish.h"
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct ft_fake_relay relay;
static struct ft_fake_node node;
static struct ft_fake_client a, b;

static struct ft_policies *policies(void)
{
    struct ft_policies *rules = ft_policies_new();
    (void)ft_policies_add(rules, ft_slice_str("eph/#"), &(struct ft_policy){.ephemeral = true});
    (void)ft_policies_add(rules, ft_slice_str("kept/#"),
                          &(struct ft_policy){.history = 3, .retain = true});
    return rules;
}

static void begin(uint32_t partitions)
{
    ft_fake_relay_init(&relay, &(struct ft_partitions){.count = partitions, .hash_levels = 2});
    ft_fake_node_init_cluster(&node, &(struct ft_journal_options){.keys = 100},
                              &(struct ft_hub_options){.policies = policies()}, 1, &relay);
    relay.is_away =
        true; /* nobody waits for partitions to be joined: they are not what is tested */
    ft_fake_client_open(&node, &a, 0, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &b, 0, FT_FRAMES_JSON);
}

static void setup(void)
{
    begin(1);
}

static void teardown(void)
{
    ft_fake_node_fini(&node);
    ft_fake_relay_fini(&relay);
}

TestSuite(outgoing, .init = setup, .fini = teardown);

static const char *told(struct ft_fake_client *client)
{
    ft_fake_node_settle(&node);
    return ft_fake_client_told(client);
}

/* Publishes 1 … n in one turn, with these ids, each to a topic of its own where they are spread. */
static void publish(uint32_t n, bool are_spread)
{
    (void)ft_fake_node_begin(&node, 0);
    for (uint32_t i = 1; i <= n; i++) {
        char text[256];
        snprintf(text, sizeof(text), "{\"op\":\"pub\",\"id\":%u,\"topic\":\"t/%u\",\"data\":%u}", i,
                 are_spread ? i : 0, i);
        ft_fake_client_receive(&a, ft_slice_str(text));
    }
    (void)ft_fake_node_end(&node, 0);
}

Test(outgoing, a_turns_publishes_are_one_batch_and_are_answered_in_order)
{
    publish(3, false);
    cr_assert_str_eq(told(&a), "", "not before Redis has answered");
    cr_assert_eq(a.session.asker.unacked, 3);
    cr_assert_eq(relay.batches, 1);
    struct ft_relay_batch *batch = ft_fake_relay_take(&relay);
    cr_assert_eq(batch->count, 3);
    cr_assert_str_eq(ft_fake_relay_entry(batch, 2), "t/0=3");
    ft_fake_relay_accept(&node, batch, 40);
    cr_assert_str_eq(told(&a), "ok@40 ok@41 ok@42");
    cr_assert_eq(a.session.asker.unacked, 0);
    cr_assert_eq(ft_journal_head(node.journal), 0, "it is journaled when it comes on the channel");
}

Test(outgoing, what_is_kept_by_topic_or_has_a_key_is_described)
{
    ft_fake_client_say(&a, "{\"op\":\"pub\",\"topic\":\"t\",\"data\":1,\"key\":\"k\",\"ttl\":2}");
    ft_fake_client_say(&a, "{\"op\":\"pub\",\"topic\":\"kept/x\",\"data\":1}");
    ft_fake_client_say(&a, "{\"op\":\"pub\",\"topic\":\"t\",\"data\":null,\"retain\":true}");
    struct ft_relay_batch *batch = ft_fake_relay_take(&relay);
    cr_assert_str_eq(ft_fake_relay_entry(batch, 0), "t=1 key=k ttl=2100");
    batch->letter.drop(&batch->letter);
    batch = ft_fake_relay_take(&relay);
    cr_assert_str_eq(ft_fake_relay_entry(batch, 0), "kept/x=1 retained history=3");
    batch->letter.drop(&batch->letter);
    batch = ft_fake_relay_take(&relay);
    cr_assert_str_eq(ft_fake_relay_entry(batch, 0), "t=null clears");
    batch->letter.drop(&batch->letter);
}

Test(outgoing, ids_come_back_as_they_were_and_a_duplicate_is_said)
{
    ft_fake_client_say(&a, "{\"op\":\"pub\",\"id\":\"x-1\",\"topic\":\"t\",\"data\":1}");
    struct ft_relay_batch *batch = ft_fake_relay_take(&relay);
    ft_fake_relay_accept(&node, batch, 40);
    batch->results[0].is_duplicate = true;
    ft_fake_node_settle(&node);
    cr_assert_str_eq(ft_fake_client_sent(&a), "{\"op\":\"ok\",\"id\":\"x-1\",\"duplicate\":true,"
                                              "\"pos\":\"" FT_FAKE_STREAM ".40\"}\n");
}

Test(outgoing, of_what_failed_also_those_hear_that_gave_no_id)
{
    ft_fake_client_say(&a, "{\"op\":\"pub\",\"topic\":\"t\",\"data\":1}");
    cr_assert_eq(a.session.asker.unacked, 1);
    ft_fake_relay_refuse(&node, ft_fake_relay_take(&relay), FT_ERR_TIMEOUT);
    cr_assert_str_eq(told(&a), "error(504)");
    ft_fake_client_say(&a, "{\"op\":\"pub\",\"topic\":\"t\",\"data\":1}");
    struct ft_relay_batch *batch = ft_fake_relay_take(&relay);
    cr_assert_not(batch->wants_results);
    ft_fake_relay_accept(&node, batch, 1);
    cr_assert_str_eq(told(&a), "", "without an id only what went wrong is told");
    cr_assert_eq(a.session.asker.unacked, 0);
    struct ft_figures figures;
    ft_figures_read(&figures, node.hub->workers[0], true);
    cr_assert_eq(figures.publications_refused[FT_REASON_UNANSWERED], 1);
}

Test(outgoing, who_is_gone_before_the_answer_is_not_called)
{
    publish(2, false);
    ft_fake_client_close(&a);
    struct ft_relay_batch *batch = ft_fake_relay_take(&relay);
    cr_assert_eq(batch->count, 2, "it was taken in, and is published");
    ft_fake_relay_accept(&node, batch, 40);
    ft_fake_node_settle(&node);
    cr_assert_str_eq(told(&b), "");
}

Test(outgoing, a_batch_that_is_full_goes_at_once)
{
    (void)ft_fake_node_begin(&node, 0);
    for (int i = 0; i < FT_OUTGOING_COUNT + 1; i++)
        ft_fake_client_receive(
            &a, ft_slice_str("{\"op\":\"pub\",\"id\":1,\"topic\":\"t\",\"data\":1}"));
    cr_assert_eq(relay.batches, 1, "within the turn");
    cr_assert_eq(relay.first->count, FT_OUTGOING_COUNT);
    (void)ft_fake_node_end(&node, 0);
    cr_assert_eq(relay.batches, 2);
}

Test(outgoing, a_batch_has_few_bytes_or_one_entry)
{
    static char text[60000];
    int n = snprintf(text, sizeof(text), "{\"op\":\"pub\",\"topic\":\"t\",\"data\":\"");
    memset(text + n, 'x', sizeof(text) - (size_t)n);
    memcpy(text + sizeof(text) - 2, "\"}", 2);
    (void)ft_fake_node_begin(&node, 0);
    for (int i = 0; i < 3; i++)
        ft_fake_client_receive(&a, ft_slice(text, sizeof(text)));
    (void)ft_fake_node_end(&node, 0);
    cr_assert_eq(relay.batches, 3);
    cr_assert_eq(relay.first->count, 1);
}

Test(outgoing, when_there_is_no_room_it_is_refused_at_once_and_when_little_is_left_it_waits)
{
    relay.room = 0;
    ft_fake_client_say(&a, "{\"op\":\"pub\",\"id\":1,\"topic\":\"t\",\"data\":1}");
    cr_assert_str_eq(told(&a), "error(503)");
    cr_assert_eq(relay.batches, 0);
    cr_assert_not(a.is_paused);

    relay.room = relay.most / 2 - 1;
    ft_fake_client_say(&a, "{\"op\":\"pub\",\"id\":2,\"topic\":\"t\",\"data\":1}");
    cr_assert(a.is_paused);
    cr_assert_not(b.is_paused, "who does not publish is read");
    ft_fake_node_settle(&node);
    cr_assert(a.is_paused);
    ft_fake_relay_accept(&node, ft_fake_relay_take(&relay), 1);
    relay.room = relay.most;
    cr_assert_str_eq(told(&a), "ok@1");
    cr_assert_not(a.is_paused);
}

Test(outgoing, who_goes_while_it_is_held_is_forgotten)
{
    relay.room = 1;
    publish(1, false);
    cr_assert(a.is_paused);
    ft_fake_client_close(&a);
    relay.room = relay.most;
    ft_fake_relay_accept(&node, ft_fake_relay_take(&relay), 1);
    ft_fake_node_settle(&node);
}

Test(outgoing, an_ephemeral_one_is_delivered_here_at_once_and_told_to_the_others)
{
    ft_fake_client_say(&b, "{\"op\":\"sub\",\"topics\":[\"eph/x\"]}");
    ft_fake_client_forget(&b);
    relay.room = 0;
    ft_fake_client_say(&a, "{\"op\":\"pub\",\"id\":1,\"topic\":\"eph/x\",\"data\":7}");
    cr_assert_str_eq(told(&b), "eph/x=7");
    cr_assert_str_eq(ft_fake_client_sent(&a), "{\"op\":\"ok\",\"id\":1}\n");
    struct ft_relay_batch *batch = ft_fake_relay_take(&relay);
    cr_assert(batch->is_ephemeral);
    cr_assert_str_eq(ft_fake_relay_entry(batch, 0), "eph/x=7");
    batch->letter.drop(&batch->letter);
    cr_assert_not(a.is_paused, "it does not wait for Redis");
}

Test(outgoing, a_duplicate_of_an_ephemeral_one_is_told_to_nobody)
{
    for (int i = 0; i < 2; i++)
        ft_fake_client_say(
            &a, "{\"op\":\"pub\",\"id\":1,\"topic\":\"eph/x\",\"data\":7,\"key\":\"k\"}");
    cr_assert_eq(relay.batches, 1);
    cr_assert_eq(relay.first->count, 1);
}

Test(outgoing, the_brokers_own_go_to_all_nodes)
{
    (void)ft_fake_node_begin(&node, 0);
    ft_outgoing_announce(node.hub->workers[0], ft_slice_str("$sys/x"), ft_slice_str("{}"));
    (void)ft_fake_node_end(&node, 0);
    cr_assert_eq(relay.batches, 1);
    cr_assert_str_eq(ft_fake_relay_entry(relay.first, 0), "$sys/x={}");
}

Test(outgoing, the_figures_are_published_though_nobody_listens_here)
{
    ft_fake_node_pass(&node, 2000);
    cr_assert_geq(relay.batches, 1);
    cr_assert(relay.first->is_ephemeral);
}

static void setup_partitions(void)
{
    begin(16);
}

TestSuite(outgoing_partitions, .init = setup_partitions, .fini = teardown);

Test(outgoing_partitions, each_has_a_batch)
{
    publish(200, true);
    cr_assert_eq(relay.batches, 16);
    uint32_t seen = 0, count = 0;
    struct ft_relay_batch *batch;
    while ((batch = ft_fake_relay_take(&relay))) {
        seen |= UINT32_C(1) << batch->partition;
        count += batch->count;
        ft_fake_relay_accept(&node, batch, 1);
    }
    cr_assert_eq(seen, 0xffff);
    cr_assert_eq(count, 200);
    ft_fake_node_settle(&node);
    cr_assert_eq(a.session.asker.unacked, 0);
}

Test(outgoing, what_was_not_answered_ends_with_the_node)
{
    publish(2, false);
    ft_fake_relay_accept(&node, ft_fake_relay_take(&relay), 1);
    publish(2, false);
    cr_assert_eq(relay.batches, 1, "one is in the mailbox, one is with the relay");
}
