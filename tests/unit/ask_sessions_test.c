/* Who is connected, between nodes: asked, told, and what is missing. */
#include "broker/hub/session.h"
#include "tests/unit/support/ask_case.h"

#define QUERY "\x94\x05\xc0\xc0\xc0" /* five, whoever they are */
#define NONE  "\x90"

static void ask_who(const char *name)
{
    struct ft_session_query query = {.limit = 5,
                                     .node = name ? ft_slice_str(name) : ft_slice(NULL, 0)};
    struct ft_relay_ask *question = ft_relay_ask_new(0, FT_ASK_SESSIONS, on_answer);
    ft_session_query_write(&query, &question->body);
    ft_asks_take(relay.asks, question);
    turns();
}

/* This node's own question number 1 comes back. */
static void hear_who(uint32_t server)
{
    static const char echo[] = "\x95\x01\xa3who\x01\xb0" US QUERY;
    hear(server, ALL, echo, sizeof(echo) - 1);
}

/* Another node's answer to it: one session of seven. */
static void hear_these(uint32_t server, const char *name)
{
    struct ft_buffer out, list;
    struct ft_session_info info = {
        .session = ft_slice_str("k3f9x2m0abp7q1zt"), .node = ft_slice_str(name), .since_ms = 17};
    ft_buffer_init(&out, 4096);
    ft_buffer_init(&list, 4096);
    ft_buffer_add_byte(&list, 0x91);
    ft_session_info_write(&info, &list);
    struct ft_ask_message message = {
        .word = FT_ASK_WORD_THESE,
        .id = 1,
        .instance = ft_slice_str(THEM),
        .sessions = 7,
        .body = ft_buffer_slice(&list),
    };
    ft_ask_message_write(&message, &out);
    hear(server, OWN, (const char *)out.ptr, out.len);
    ft_buffer_fini(&out);
    ft_buffer_fini(&list);
}

static void assert_missing(const char *text)
{
    char names[64] = "";
    cr_assert_lt(answered->missing.len, sizeof(names));
    if (answered->missing.len > 0)
        memcpy(names, answered->missing.ptr, answered->missing.len);
    cr_assert_str_eq(names, text);
}

static void reply_three(uint32_t server, long long heard)
{
    reply_nodes(server, "n2", 1000000000);
    reply_number(server, heard);
}

/* ---- asking ---- */

Test(ask_sessions, what_all_who_heard_it_tell_is_gathered)
{
    begin(1);
    ask_who(NULL);
    cr_assert_str_eq(servers[0].sent[2].text,
                     "PUBLISH " ALL " \\x95\\x01\\xa3who\\x01\\xb0" US "\\x94\\x05\\xc0\\xc0\\xc0");
    reply_three(0, 2);
    hear_who(0);
    cr_assert_eq(answers, 0);
    hear_these(0, "n2");
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_OK);
    cr_assert_eq(answered->count, 7);
    cr_assert_eq(answered->outcome.nodes, 1);
    assert_missing("");
    struct ft_scan scan = ft_scan_of(ft_buffer_slice(&answered->answer));
    struct ft_session_info info;
    cr_assert(ft_session_info_read(&scan, &info) && scan.at == scan.end);
    cr_assert(ft_slice_equal(info.node, ft_slice_str("n2")) && info.since_ms == 17);
    end();
}

Test(ask_sessions, who_does_not_tell_in_time_is_missing)
{
    begin(1);
    ask_who(NULL);
    reply_three(0, 2);
    hear_who(0);
    relay.now_ms += 2000;
    ft_asks_tick(relay.asks);
    turns();
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_ERR_TIMEOUT);
    cr_assert_str_eq(answered->problem.text, "node \"n2\" has not answered");
    cr_assert_eq(answered->missing_count, 1);
    assert_missing("\xa2n2");
    hear_these(0, "n2"); /* too late */
    end();
}

Test(ask_sessions, of_several_servers_each_brings_the_same_once)
{
    begin(2);
    ask_who(NULL);
    for (uint32_t i = 0; i < 2; i++) {
        reply_three(i, 2);
        hear_who(i);
        hear_these(i, "n2");
    }
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->count, 7);
    cr_assert_eq(answered->outcome.nodes, 1);
    end();
}

Test(ask_sessions, of_one_node_alone_no_other_is_missing)
{
    begin(1);
    ask_who("n3");
    reply_three(0, 1); /* n2 does not even hear it */
    hear(0, ALL, "\x95\x01\xa3who\x01\xb0" US "\x94\x05\xc0\xc0\xa2n3", 31);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_ERR_NOT_FOUND, "nobody has this name");
    end();
}

Test(ask_sessions, the_one_node_that_was_asked_may_be_missing)
{
    begin(1);
    ask_who("n2");
    reply_three(0, 1);
    hear(0, ALL, "\x95\x01\xa3who\x01\xb0" US "\x94\x05\xc0\xc0\xa2n2", 31);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_ERR_TIMEOUT);
    assert_missing("\xa2n2");
    end();
}

Test(ask_sessions, while_redis_is_away_it_is_said_at_once)
{
    begin(1);
    servers[0].state = FT_SERVER_AWAY;
    ask_who(NULL);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->problem.err, FT_ERR_UNAVAILABLE);
    assert_missing("");
    end();
}

Test(ask_sessions, answers_that_make_no_sense_are_counted_and_change_nothing)
{
    begin(1);
    ask_who(NULL);
    reply_three(0, 2);
    hear_who(0);
    HEAR(OWN, "\x96\x01\xa5these\x01\xb0" US "\x07" NONE);
    cr_assert_eq(rejected(FT_REJECTED_SPOOFED), 1);
    HEAR(OWN, "\x96\x01\xa5these\x01\xb0" THEM "\x07\x91\x90");
    HEAR(OWN, "\x96\x01\xa5these\x01\xb0" THEM "\x07\xc0");
    HEAR(OWN, "\x96\x01\xa5these\x01\xb0" THEM "\xff" NONE);
    HEAR(OWN, "\x95\x01\xa5these\x01\xb0" THEM "\x07");
    cr_assert_eq(rejected(FT_REJECTED_DAMAGED), 4);
    HEAR(OWN,
         "\x96\x01\xa4"
         "done\x01\xb0" THEM "\x03\x04"); /* of an order with this number, which there is not */
    HEAR(OWN, "\x96\x01\xa5these\x07\xb0" THEM "\x03" NONE);
    cr_assert_eq(answers, 0);
    HEAR(OWN, "\x96\x01\xa5these\x01\xb0" THEM "\x00" NONE);
    cr_assert_eq(answers, 1);
    cr_assert_eq(answered->answer.len, 0);
    cr_assert_eq(answered->count, 0);
    end();
}

/* ---- telling ---- */

Test(ask_sessions, another_node_is_told_on_its_channel)
{
    begin(2);
    HEAR(ALL, "\x95\x01\xa3who\x2a\xb0" THEM QUERY);
    cr_assert_eq(servers[1].count, 0);
    cr_assert_eq(servers[0].count, 1);
    static const char start[] =
        "PUBLISH p@2:node:" THEM " \\x96\\x01\\xa5these*\\xb0" US "\\x01\\x91\\x9a\\xb0";
    const char *text = servers[0].sent[0].text;
    cr_assert_eq(strncmp(text, start, sizeof(start) - 1), 0, "%s", text);
    cr_assert_eq(memcmp(text + sizeof(start) - 1, client.session.id, FT_SESSION_ID_LEN), 0);
    cr_assert_eq(relay.asks->heard_bytes, 0);
    cr_assert_eq(relay.figures.relay_orders[0], 0);
    cr_assert_str_eq(ft_fake_client_told(&client), "");
    reply_number(0, 1);
    end();
}

Test(ask_sessions, a_question_that_is_damaged_is_counted_and_not_answered)
{
    begin(1);
    HEAR(ALL, "\x95\x01\xa3who\x01\xb0" THEM "\x94\x00\xc0\xc0\xc0");
    HEAR(ALL, "\x95\x01\xa3who\x01\xb0" THEM "\xc0");
    HEAR(ALL, "\x95\x01\xa3who\x01\xb0" THEM "\x93\x05\xc0\xc0");
    cr_assert_eq(rejected(FT_REJECTED_DAMAGED), 3);
    HEAR(ALL, "\x96\x01\xa5these\x01\xb0" THEM "\x01" NONE);
    HEAR(OWN, "\x95\x01\xa3who\x01\xb0" THEM QUERY);
    cr_assert_eq(rejected(FT_REJECTED_SPOOFED), 2);
    cr_assert_eq(servers[0].count, 0);
    end();
}

/* So many at a time are answered, and no more: each may take as much as the longest answer. */
Test(ask_sessions, a_flood_of_questions_is_not_heard)
{
    begin(1);
    static const char who[] = "\x95\x01\xa3who\x2a\xb0" THEM QUERY;
    for (int i = 0; i < 100; i++)
        cr_assert(ft_asks_message(relay.asks, &servers[0], ft_slice_str(ALL),
                                  ft_slice(who, sizeof(who) - 1)));
    cr_assert_eq(rejected(FT_REJECTED_TOO_LARGE), 100 - 42);
    cr_assert_leq(relay.asks->heard_bytes, (size_t)16 << 20);
    servers[0].state = FT_SERVER_AWAY; /* what is answered now is lost */
    turns();
    cr_assert_eq(relay.asks->heard_bytes, 0);
    end();
}
