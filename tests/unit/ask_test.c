/* Orders of an operator between nodes, and their answers. */
#include "tests/unit/support/ask_case.h"

/* ---- orders ---- */

Test(ask, an_order_is_published_and_answered_when_all_who_heard_it_have)
{
    begin(1);
    ft_asks_up(relay.asks, &servers[0]);
    cr_assert_str_eq(servers[0].channel, ALL);
    ask(FT_ASK_ORDER);
    cr_assert_eq(servers[0].count, 3);
    cr_assert_str_eq(servers[0].sent[0].text, "TIME");
    cr_assert_str_eq(servers[0].sent[1].text, "HGETALL p:nodes");
    cr_assert_str_eq(servers[0].sent[2].text,
                     "PUBLISH " ALL " \\x95\\x01\\xa5order\\x01\\xb0" US "\\x94\\x00\\xa3"
                     "ann\\xc0\\x90");
    reply_nodes(0, "n2", 1000000000);
    hear_echo(0); /* before Redis says how many */
    reply_number(0, 2);
    cr_assert_eq(answers, 0);
    hear_done(0);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_OK);
    cr_assert_eq(answered->outcome.sessions, 3);
    cr_assert_eq(answered->outcome.subscriptions, 4);
    cr_assert_eq(answered->outcome.nodes, 1);
    hear_done(0); /* again, and too late */
    cr_assert_eq(answers, 1);
    cr_assert_str_eq(ft_fake_client_told(&client), "", "here it is for the workers");
    end();
}

Test(ask, who_is_listed_and_has_not_answered_is_named)
{
    begin(1);
    ask(FT_ASK_ORDER);
    reply_nodes(0, "n\"2", 1000000000);
    hear_echo(0);
    reply_number(0, 1); /* it is cut off: it has not heard it */
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_ERR_TIMEOUT);
    cr_assert_str_eq(answered->problem.text, "node \"n\\x222\" has not answered");
    cr_assert_eq(answered->problem.retry_ms, 1000);
    end();
}

Test(ask, who_heard_it_is_waited_for_until_the_deadline)
{
    begin(1);
    ask(FT_ASK_ORDER);
    reply_nodes(0, "n2", 1000000000);
    hear_echo(0);
    reply_number(0, 2);
    relay.now_ms += 1999;
    ft_asks_tick(relay.asks);
    turns();
    cr_assert_eq(answers, 0);
    relay.now_ms++;
    ft_asks_tick(relay.asks);
    turns();
    cr_assert_eq(answers, 1);
    cr_assert_str_eq(answered->problem.text, "node \"n2\" has not answered");
    hear_done(0);
    cr_assert_eq(answers, 1);
    end();
}

Test(ask, somebody_who_only_listens_is_no_node)
{
    begin(1);
    ask(FT_ASK_ORDER);
    reply_nodes(0, NULL, 0);
    hear_echo(0);
    reply_number(0, 2);
    relay.now_ms += 2000;
    ft_asks_tick(relay.asks);
    turns();
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_OK);
    cr_assert_eq(answered->outcome.nodes, 0);
    end();
}

Test(ask, a_node_that_was_not_seen_for_half_a_minute_is_not_there)
{
    begin(1);
    ask(FT_ASK_ORDER);
    reply_nodes(0, "n2", 1000000500 - FT_NODE_AGE_MAX_MS - 1);
    hear_echo(0);
    reply_number(0, 1);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_OK);
    end();
}

Test(ask, while_redis_is_away_it_is_said_at_once)
{
    begin(2);
    servers[0].state = FT_SERVER_AWAY;
    servers[1].state = FT_SERVER_GREETING;
    ask(FT_ASK_ORDER);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_ERR_UNAVAILABLE);
    cr_assert_str_eq(answered->problem.text, "Redis is away, so that other nodes are not reached");
    ask(FT_ASK_NODES);
    cr_assert_eq(answers, 2);
    cr_assert_eq(answered->problem.err, FT_ERR_UNAVAILABLE);
    end();
}

Test(ask, where_redis_goes_away_nobody_knows)
{
    begin(1);
    ask(FT_ASK_ORDER);
    servers[0].state = FT_SERVER_AWAY;
    ft_asks_down(relay.asks, &servers[0]);
    for (int i = 0; i < 3; i++)
        reply(0, NULL);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_ERR_TIMEOUT);
    ask(FT_ASK_ORDER);
    cr_assert_eq(answered->problem.err, FT_ERR_UNAVAILABLE);
    end();
}

Test(ask, what_redis_refuses_is_told_in_its_words)
{
    begin(1);
    ask(FT_ASK_ORDER);
    reply_nodes(0, NULL, 0);
    reply_error(0, "NOPERM no \"all\"");
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_ERR_UNAVAILABLE);
    cr_assert_str_eq(answered->problem.text, "Redis says \"NOPERM no \\x22all\\x22\"");
    end();
}

Test(ask, of_several_servers_each_is_asked_and_nodes_count_once)
{
    begin(2);
    ask(FT_ASK_ORDER);
    for (uint32_t i = 0; i < 2; i++) {
        reply_nodes(i, "n2", 1000000000);
        hear_echo(i);
        reply_number(i, 2);
    }
    hear_done(0);
    cr_assert_eq(answers, 0);
    hear_done(0); /* the same once more is none of another server */
    cr_assert_eq(rejected(FT_REJECTED_SPOOFED), 1);
    cr_assert_eq(answers, 0);
    hear_done(1);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->outcome.nodes, 1);
    cr_assert_eq(answered->problem.err, FT_OK);
    end();
}

Test(ask, one_server_that_goes_away_does_not_hide_what_the_other_says)
{
    begin(2);
    ask(FT_ASK_ORDER);
    servers[1].state = FT_SERVER_AWAY;
    ft_asks_down(relay.asks, &servers[1]);
    for (int i = 0; i < 3; i++)
        reply(1, NULL);
    reply_nodes(0, "n2", 1000000000);
    hear_echo(0);
    hear_done(0);
    reply_number(0, 2);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_OK);
    end();
}

Test(ask, what_is_not_answered_comes_back_when_the_relay_goes)
{
    begin(1);
    ask(FT_ASK_ORDER);
    for (int i = 0; i < 3; i++)
        reply(0, NULL);
    ask(FT_ASK_NODES);
    for (int i = 0; i < 2; i++)
        reply(0, NULL);
    cr_assert_eq(answers, 2);
    end();
}

/* ---- orders of others ---- */

Test(ask, an_order_of_another_node_is_carried_out_and_answered_on_its_channel)
{
    begin(2);
    hear(1, ALL, "\x95\x01\xa5order\x2a\xb0" THEM ORDER, 34);
    cr_assert_str_eq(ft_fake_client_told(&client), "close(4403)");
    cr_assert_eq(servers[0].count, 0);
    cr_assert_eq(servers[1].count, 1);
    cr_assert_str_eq(servers[1].sent[0].text, "PUBLISH p@2:node:" THEM " \\x96\\x01\\xa4"
                                              "done*\\xb0" US "\\x01\\x00");
    cr_assert_eq(relay.figures.relay_orders[0], 1);
    cr_assert_eq(relay.asks->heard_bytes, 0);
    reply_number(1, 1);
    end();
}

Test(ask, what_is_not_an_order_is_counted_and_not_carried_out)
{
    begin(1);
    HEAR(ALL, "hello");
    HEAR(ALL, "");
    HEAR(ALL, "\x95\xa1"
              "1\xa5order\x01\xb0" THEM ORDER);
    cr_assert_eq(rejected(FT_REJECTED_FOREIGN), 3);
    HEAR(ALL, "\x95\x02\xa5order\x01\xb0" THEM ORDER);
    HEAR(ALL, "\x95\x01\xa5odder\x01\xb0" THEM ORDER);
    cr_assert_eq(rejected(FT_REJECTED_VERSION), 2);
    HEAR(ALL, "\x94\x01\xa5order\x01\xb0" THEM ORDER);
    HEAR(ALL, "\x95\x01\xa5order\x01\xb0" THEM ORDER "\xc0");
    HEAR(ALL, "\x96\x01\xa5order\x01\xb0" THEM ORDER);
    HEAR(ALL, "\x95\x01\xa5order\xff\xb0" THEM ORDER);
    HEAR(ALL, "\x95\x01\xa5order\x01\xaf"
              "bbbbbbbbbbbbbbb" ORDER);
    HEAR(ALL, "\x95\x01\xa5order\x01\xb0"
              "bbbbbbbb:bbbbbbb" ORDER);
    HEAR(ALL, "\x95\x01\xa5order\x01\xb0" THEM "\x94\x00\xc0\xc0\x90");
    HEAR(ALL, "\x95\x01\xa5order\x01\xb0" THEM "\x94\x01\xa3"
              "ann\xc0\x91\xa2"
              "##");
    cr_assert_eq(rejected(FT_REJECTED_DAMAGED), 8);
    HEAR(ALL, "\x96\x01\xa4"
              "done\x01\xb0" THEM "\x03\x04");
    HEAR(OWN, "\x95\x01\xa5order\x01\xb0" THEM ORDER);
    cr_assert_eq(rejected(FT_REJECTED_SPOOFED), 2);
    static char large[FT_ASK_MESSAGE_MAX + 1];
    hear(0, ALL, large, sizeof(large));
    cr_assert_eq(rejected(FT_REJECTED_TOO_LARGE), 1);
    cr_assert_eq(relay.figures.relay_orders[0], 0);
    cr_assert_str_eq(ft_fake_client_told(&client), "");
    cr_assert_not(
        ft_asks_message(relay.asks, &servers[0], ft_slice_str("p@2:{1}"), ft_slice_str("x")));
    end();
}

Test(ask, answers_that_make_no_sense_are_counted_and_change_nothing)
{
    begin(1);
    ask(FT_ASK_ORDER);
    reply_nodes(0, "n2", 1000000000);
    hear_echo(0);
    reply_number(0, 2);
    HEAR(OWN, "\x96\x01\xa4"
              "done\x01\xb0" US "\x03\x04");
    cr_assert_eq(rejected(FT_REJECTED_SPOOFED), 1);
    HEAR(OWN, "\x96\x01\xa4"
              "done\x01\xb0" THEM "\x03\xff");
    HEAR(OWN, "\x96\x01\xa4"
              "done\x01\xb0" THEM "\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x03");
    HEAR(OWN, "\x95\x01\xa4"
              "done\x01\xb0" THEM "\x03");
    cr_assert_eq(rejected(FT_REJECTED_DAMAGED), 3);
    HEAR(OWN, "\x96\x01\xa4"
              "done\x07\xb0" THEM "\x03\x04"); /* of an earlier order */
    cr_assert_eq(answers, 0);
    hear_done(0);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->outcome.sessions, 3);
    end();
}

Test(ask, presence_is_for_somebody_else)
{
    begin(1);
    ask(FT_ASK_PRESENCE);
    cr_assert_eq(present->kind, FT_ASK_PRESENCE);
    ft_relay_ask_free(present);
    end();
}
