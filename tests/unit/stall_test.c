/* Sessions that have to wait for other nodes: what is answered when, and in which order.
 * Replies are told by op and id alone: "ok:1 error:2 msg". */
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "tests/unit/support/stall_case.h"

enum { MANY = 10000 };

TestSuite(stall, .init = ft_stall_case_begin, .fini = ft_stall_case_end);

/* ---- partitions that are not joined yet ---- */

Test(stall, a_sub_waits_until_its_partition_is_joined)
{
    SUB(1, 2);
    assert_came(&client, "");
    cr_expect(client.is_paused && relay.interests > 0);
    const struct ft_metrics *metrics = &node.hub->workers[0]->metrics;
    cr_expect_eq(metrics->sessions_stalled[0], 1);
    cr_expect(ft_interest_is_wanted(&relay.interest, 2));
    join(1);
    assert_came(&client, "");
    join(2);
    assert_came(&client, "ok:1");
    cr_expect_not(client.is_paused);
    cr_expect_null(client.session.stall);
    cr_expect_eq(metrics->sessions_stalled[0], 0);
    SUB(2, 2);
    assert_came(&client, "ok:2");
}

Test(stall, a_wildcard_waits_for_all_and_several_filters_for_each)
{
    ft_fake_client_say(&client, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"+/x\"]}");
    char text[256];
    snprintf(text, sizeof(text), "{\"op\":\"sub\",\"id\":2,\"topics\":[\"%s\",\"%s\"]}", topics[0],
             topics[3]);
    ft_fake_client_say(&other, text);
    join(0);
    join(1);
    assert_came(&other, "");
    join(3);
    assert_came(&other, "ok:2");
    assert_came(&client, "");
    join(2);
    assert_came(&client, "ok:1");
}

Test(stall, the_wait_ends_at_the_deadline)
{
    SUB(1, 0);
    ft_fake_node_pass(&node, DEADLINE_MS - TICK_MS);
    assert_came(&client, "");
    ft_fake_node_pass(&node, 2 * TICK_MS);
    assert_came(&client, "ok:1");
    cr_expect(ft_interest_is_wanted(&relay.interest, 0), "it is subscribed");
    cr_expect_not(client.is_paused);
}

Test(stall, nobody_waits_for_a_server_that_is_away)
{
    relay.is_away = true;
    SUB(1, 0);
    assert_came(&client, "ok:1");
    cr_expect(ft_interest_is_wanted(&relay.interest, 0));
    cr_expect_null(client.session.stall);
}

static void say_since(uint32_t k, uint64_t seq, const char *name);

Test(stall, who_resumes_waits_for_a_server_that_is_away_up_to_the_deadline)
{
    relay.is_away = true;
    say_since(1, 0, names[1]);
    assert_came(&client, "");
    cr_expect(ft_interest_is_wanted(&relay.interest, 1));
    relay.is_away = false;
    join(1);
    assert_came(&client, "ok:1");

    relay.is_away = true;
    say_since(2, 0, names[2]);
    ft_fake_node_pass(&node, DEADLINE_MS - TICK_MS);
    assert_came(&client, "");
    ft_fake_node_pass(&node, 2 * TICK_MS);
    assert_came(&client, "ok:1");
}

Test(stall, a_worker_without_subscribers_sleeps_and_is_woken)
{
    ft_fake_node_begin(&node, 0);
    ft_fake_client_receive(&client, ft_slice_str("{\"op\":\"sub\",\"id\":1,\"topics\":[\"+\"]}"));
    while (!ft_fake_node_end(&node, 0))
        ft_fake_node_begin(&node, 0);
    cr_expect(node.hub->workers[0]->is_asleep, "or nobody would wake it");
    ft_fake_node_begin(&node, 0);
    for (uint32_t k = 0; k < PARTITIONS; k++)
        join_silently(k);
    uint32_t wakes = node.wakes;
    cr_expect(ft_fake_node_end(&node, 0));
    assert_came(&client, "ok:1");
    ft_hub_wake(node.hub);
    cr_expect_eq(node.wakes, wakes + 1);
}

Test(stall, a_join_between_the_look_and_the_sleep_is_seen)
{
    SUB(1, 2);
    ft_fake_node_begin(&node, 0);
    ft_stalls_run(node.hub->workers[0]);
    join_silently(2);
    cr_expect_not(ft_stalls_are_calm(node.hub->workers[0]));
    (void)ft_fake_node_end(&node, 0);
    assert_came(&client, "ok:1");
}

/* ---- order ---- */

Test(stall, what_came_behind_in_the_message_and_after_it_keeps_its_order)
{
    say_of(&client,
           "[{\"op\":\"ping\",\"id\":1},{\"op\":\"sub\",\"id\":2,\"topics\":[\"$\"]},"
           "{\"op\":\"pub\",\"id\":3,\"topic\":\"e/1\",\"data\":1},{\"op\":\"bad\",\"id\":4},"
           "{\"op\":\"unsub\",\"id\":5,\"topics\":[\"x\"]},{\"op\":\"ping\",\"id\":6}]",
           1);
    assert_came(&client, "ok:1");
    ft_fake_client_say(&client, "{\"op\":\"ping\",\"id\":7}");
    ft_fake_client_say(&client, "{");
    ft_fake_client_say(&client, "[{\"op\":\"ping\",\"id\":8},{\"op\":\"ping\",\"id\":9}]");
    assert_came(&client, "");
    cr_expect(client.is_paused);
    join(1);
    assert_came(&client, "ok:2 ok:3 error:4 ok:5 ok:6 ok:7 error ok:8 ok:9");
    cr_expect_not(client.is_paused);
}

Test(stall, a_message_may_wait_again_and_again)
{
    char text[512];
    snprintf(text, sizeof(text),
             "[{\"op\":\"sub\",\"id\":1,\"topics\":[\"%s\"]},{\"op\":\"sub\",\"id\":2,\"topics\":"
             "[\"%s\"]},{\"op\":\"ping\",\"id\":3},{\"op\":\"sub\",\"id\":4,\"topics\":[\"%s\"]}]",
             topics[1], topics[2], topics[3]);
    ft_fake_client_say(&client, text);
    say_of(&client, "{\"op\":\"sub\",\"id\":5,\"topics\":[\"$\"]}", 0);
    join(1);
    assert_came(&client, "ok:1");
    ft_fake_node_pass(&node, DEADLINE_MS + TICK_MS); /* each waits on its own account */
    assert_came(&client, "ok:2 ok:3");
    join(3);
    assert_came(&client, "ok:4");
    cr_expect(client.is_paused);
    join(0);
    assert_came(&client, "ok:5");
    cr_expect_not(client.is_paused);
}

Test(stall, what_has_waited_is_wanted_no_longer_than_it_takes)
{
    char text[256];
    snprintf(text, sizeof(text),
             "[{\"op\":\"history\",\"id\":1,\"topic\":\"%s\"},{\"op\":\"sub\",\"id\":2,\"topics\":"
             "[\"%s\"]}]",
             topics[1], topics[2]);
    ft_fake_client_say(&client, text);
    join(1);
    assert_came(&client, "ok:1");
    cr_expect_not(ft_interest_is_wanted(&relay.interest, 1));
    cr_expect(ft_interest_is_wanted(&relay.interest, 2));
}

static void piece(const char *text, bool is_first, bool is_last)
{
    ft_fake_node_begin(&node, 0);
    ft_session_receive(&client.session, &(struct ft_piece){.bytes = ft_slice_str(text),
                                                           .is_text = true,
                                                           .is_first = is_first,
                                                           .is_last = is_last});
    (void)ft_fake_node_end(&node, 0);
}

Test(stall, a_message_in_pieces_waits_as_any_other)
{
    char text[64];
    snprintf(text, sizeof(text), "\",\"id\":1,\"topics\":[\"%s\"]}", topics[1]);
    piece("[{\"op\":\"sub", true, false);
    piece(text, false, false);
    piece(",{\"op\":\"ping\",\"id\":2}]", false, true);
    piece("{\"op\":\"ping\"", true, false);
    assert_came(&client, "");
    join(1);
    assert_came(&client, "ok:1 ok:2");
    piece(",\"id\":3}", false, true);
    assert_came(&client, "ok:3");
}

Test(stall, the_last_piece_may_come_while_another_message_waits)
{
    SUB(1, 1);
    piece("{\"op\":\"ping\"", true, false);
    piece(",\"id\":3}", false, true);
    assert_came(&client, "");
    join(1);
    assert_came(&client, "ok:1 ok:3");
}

Test(stall, what_was_subscribed_before_goes_on_coming)
{
    join(1);
    SUB(1, 1);
    SUB(2, 2);
    assert_came(&client, "ok:1");
    journal(1, 1);
    assert_came(&client, "msg");
    join(2);
    assert_came(&client, "ok:2");
}

/* ---- refusals, bounds ---- */

Test(stall, what_is_refused_is_refused_at_once)
{
    ft_fake_client_say(&client, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a/#/b\"]}");
    assert_came(&client, "error:1");
    ft_fake_client_say(&client, "{\"op\":\"sub\",\"id\":2,\"topics\":[\"a\"],\"since\":[\"no\"]}");
    assert_came(&client, "error:2");
    cr_expect_null(client.session.stall);
}

Test(stall, what_comes_behind_is_bounded)
{
    SUB(1, 1);
    size_t len = node.hub->workers[0]->options->message_bytes / 2;
    char *text = ft_alloc(len + 1);
    memset(text, ' ', len);
    memcpy(text, "{\"op\":\"ping\"}", 13);
    text[len] = '\0';
    ft_fake_client_say(&client, text);
    ft_fake_client_say(&client, text);
    assert_came(&client, "");
    ft_fake_client_say(&client, text);
    assert_came(&client, "close 4508");
    cr_expect_null(client.session.stall);
    free(text);
}

Test(stall, a_limit_that_fell_meanwhile_holds)
{
    SUB(1, 1);
    configure(1024, 16);
    join(1);
    assert_came(&client, "close 1009");
}

/* ---- publishes that are not answered yet ---- */

#define PUB(id) "{\"op\":\"pub\",\"id\":" #id ",\"topic\":\"t\",\"data\":1}"

/* Redis has answered what was published first. */
static void answer(void)
{
    struct ft_relay_batch *batch = ft_fake_relay_take(&relay);
    cr_assert(batch);
    ft_fake_relay_accept(&node, batch, 1);
    ft_fake_node_settle(&node);
}

Test(stall, a_ping_waits_for_the_publishes_before_it)
{
    ft_fake_client_say(&client, PUB(1));
    ft_fake_client_say(
        &client, "[" PUB(2) ",{\"op\":\"ping\",\"id\":3}," PUB(4) ",{\"op\":\"ping\",\"id\":5}]");
    ft_fake_client_say(&other, "{\"op\":\"ping\",\"id\":1}");
    assert_came(&other, "ok:1");
    answer();
    assert_came(&client, "ok:1");
    answer();
    assert_came(&client, "ok:2 ok:3");
    answer();
    assert_came(&client, "ok:4 ok:5");
    cr_expect_not(client.is_paused);
}

Test(stall, a_ping_waits_for_publishes_without_an_id_too)
{
    ft_fake_client_say(&client, "[{\"op\":\"pub\",\"topic\":\"t\",\"data\":1},"
                                "{\"op\":\"ping\",\"id\":1}]");
    assert_came(&client, "");
    answer();
    assert_came(&client, "ok:1");
    ft_fake_client_say(&client, "[{\"op\":\"pub\",\"topic\":\"t\",\"data\":1},"
                                "{\"op\":\"ping\",\"id\":2}]");
    ft_fake_relay_refuse(&node, ft_fake_relay_take(&relay), FT_ERR_TIMEOUT);
    ft_fake_node_settle(&node);
    assert_came(&client, "error ok:2");
}

Test(stall, an_answer_that_never_comes_does_not_hold_up_a_ping_for_ever)
{
    ft_fake_client_say(&client, "[" PUB(1) ",{\"op\":\"ping\",\"id\":3}]");
    ft_fake_node_pass(&node, DEADLINE_MS);
    assert_came(&client, "");
    ft_fake_node_pass(&node, 1000 + TICK_MS);
    assert_came(&client, "ok:3");
    answer();
    assert_came(&client, "ok:1");
}

Test(stall, who_is_gone_while_a_ping_waits_is_not_answered)
{
    ft_fake_client_say(&client, "[" PUB(1) ",{\"op\":\"ping\",\"id\":3}]");
    ft_fake_client_close(&client);
    answer();
}

/* ---- positions that this node has not come to ---- */

static void say_since(uint32_t k, uint64_t seq, const char *name)
{
    char text[256];
    snprintf(text, sizeof(text),
             "{\"op\":\"sub\",\"id\":1,\"topics\":[\"%s\"],\"since\":[\"%s.%llu\"]}", topics[k],
             name, (unsigned long long)seq);
    ft_fake_client_say(&client, text);
}

Test(stall, a_position_ahead_is_waited_for)
{
    join(1);
    journal(1, 1);
    say_since(1, 3, names[1]);
    journal(1, 2);
    assert_came(&client, "");
    journal(1, 3);
    assert_came(&client, "ok:1");
}

Test(stall, a_position_that_is_known_or_of_another_partition_is_not_waited_for)
{
    join(1);
    join(2);
    journal(1, 1);
    say_since(1, 1, names[1]);
    assert_came(&client, "ok:1");
    say_since(1, 9, names[2]);
    assert_came(&client, "ok:1");
    say_since(1, 9, "otherstuff");
    assert_came(&client, "ok:1");
}

Test(stall, a_position_that_does_not_come_is_not_waited_for_long)
{
    join(1);
    say_since(1, 1, names[1]);
    ft_fake_node_pass(&node, AHEAD_MS - TICK_MS);
    assert_came(&client, "");
    ft_fake_node_pass(&node, 2 * TICK_MS);
    assert_came(&client, "ok:1");
}

Test(stall, a_position_may_be_ahead_when_its_partition_has_been_joined)
{
    say_since(1, 1, names[1]);
    join(1);
    assert_came(&client, "");
    journal(1, 1);
    assert_came(&client, "ok:1");
}

/* ---- many ---- */

Test(stall, ten_thousand_go_on_in_one_turn)
{
    struct ft_fake_client *many = calloc(MANY, sizeof(*many));
    for (uint32_t i = 0; i < MANY; i++) {
        ft_fake_client_open(&node, &many[i], 0, FT_FRAMES_JSON);
        ft_fake_node_begin(&node, 0);
        ft_fake_client_receive(&many[i], ft_slice_str("[{\"op\":\"sub\",\"id\":1,\"topics\":[\"+\"]"
                                                      "},{\"op\":\"ping\",\"id\":2}]"));
    }
    for (uint32_t k = 0; k < PARTITIONS; k++)
        join_silently(k);
    ft_fake_node_begin(&node, 0);
    (void)ft_fake_node_end(&node, 0);
    for (uint32_t i = 0; i < MANY; i++)
        assert_came(&many[i], "ok:1 ok:2");
    for (uint32_t i = MANY; i-- > 0;)
        ft_fake_client_close(&many[i]);
    free(many);
}
