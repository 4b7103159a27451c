/* Sessions that have to wait for other nodes: what is answered when, in which order, and what becomes of them
 * when something happens meanwhile. Replies are told by op and id alone: "ok:1 error:2 msg". */
#include "broker/hub/stall.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "tests/unit/support/fake_node.h"
#include "tests/unit/support/fake_relay.h"

enum {
    PARTITIONS = 4,
    DEADLINE_MS = 2000,
    AHEAD_MS = 1500,
    TICK_MS = FT_WHEEL_TICK_MS,
    MANY = 10000
};

static struct ft_fake_node node;
static struct ft_fake_relay relay;
static struct ft_fake_client client, other;
static char topics[PARTITIONS][8]; /* one of each partition */
static char names[PARTITIONS][FT_STREAM_NAME_LEN + 1];
static struct ft_journal_writer *writer;

static void setup(void)
{
    struct ft_hub_options options = {.policies = ft_policies_new()};
    ft_log_set_level(FT_LOG_WARN);
    cr_assert(ft_policies_add(options.policies, ft_slice_str("e/#"),
                              &(struct ft_policy){.ephemeral = true}));
    ft_fake_relay_init(&relay, &(struct ft_partitions){.count = PARTITIONS, .hash_levels = 1});
    ft_fake_node_init_cluster(&node, &(struct ft_journal_options){0}, &options, 1, &relay);
    writer = ft_journal_writer_new(node.journal);
    for (uint32_t k = 0, i = 0; k < PARTITIONS; i++) {
        snprintf(topics[k], sizeof(topics[k]), "t%u", i);
        if (ft_partition_of(&relay.interest.partitions, ft_slice_str(topics[k])) == k)
            k++;
    }
    for (uint32_t k = 0; k < PARTITIONS; k++)
        ft_stream_name_of(k, (const uint8_t[FT_STREAM_RANDOM_BYTES]){1}, names[k]);
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &other, 0, FT_FRAMES_JSON);
}

static void teardown(void)
{
    ft_journal_writer_free(writer);
    ft_fake_node_fini(&node);
    for (uint32_t k = 0; k < PARTITIONS; k++)
        cr_assert_not(ft_interest_is_wanted(&relay.interest, k), "nobody is left");
    ft_fake_relay_fini(&relay);
}

TestSuite(stall, .init = setup, .fini = teardown);

/* Changes limits.topics and limits.message. */
static void configure(uint32_t subscriptions, size_t message_bytes)
{
    struct ft_hub_options options = *node.hub->workers[0]->options;
    options.topics = subscriptions;
    options.message_bytes = message_bytes;
    options.policies = NULL;
    ft_hub_configure(node.hub, &options);
}

/* What the relay does when it has come so far. */
static void join_silently(uint32_t k)
{
    ft_journal_open_stream(node.journal, k, names[k], 0);
    ft_interest_joined(&relay.interest, k);
}

static void join(uint32_t k)
{
    join_silently(k);
    ft_fake_node_settle(&node);
}

static void journal(uint32_t k, uint64_t seq)
{
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str(topics[k]),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("7")},
        .stream_index = (uint16_t)k,
        .seq = seq,
    };
    struct ft_publication *p = ft_journal_build(writer, &spec);
    cr_assert(ft_journal_append(writer, &p, 1, 1));
    ft_fake_node_settle(&node);
}

/* Says what came, by op and id, and forgets it. */
static const char *came(struct ft_fake_client *to)
{
    static char text[8192];
    size_t n = 0;
    text[0] = '\0';
    for (const char *line = ft_fake_client_sent(to); *line; line = strchr(line, '\n') + 1) {
        char op[16];
        unsigned id;
        cr_assert_lt(n, sizeof(text) - 64);
        const char *space = n > 0 ? " " : "";
        if (sscanf(line, "{\"op\":\"%15[a-z]\",\"id\":%u", op, &id) == 2)
            n += (size_t)snprintf(text + n, 64, "%s%s:%u", space, op, id);
        else if (sscanf(line, "{\"op\":\"%15[a-z]\"", op) == 1)
            n += (size_t)snprintf(text + n, 64, "%s%s", space, op);
        else
            n += (size_t)snprintf(text + n, 64, "%s%.*s", space, (int)strcspn(line, "\n"), line);
    }
    ft_fake_client_forget(to);
    return text;
}

#define assert_came(to, expected) cr_assert_str_eq(came(to), expected)

/* Has it say `text`, with the topic of a partition for the one $. */
static void say_of(struct ft_fake_client *from, const char *text, uint32_t k)
{
    char said[1024];
    size_t before = strcspn(text, "$");
    snprintf(said, sizeof(said), "%.*s%s%s", (int)before, text, topics[k], text + before + 1);
    ft_fake_client_say(from, said);
}

#define SUB(id, k) say_of(&client, "{\"op\":\"sub\",\"id\":" #id ",\"topics\":[\"$\"]}", k)

/* ---- partitions that are not joined yet ---- */

Test(stall, a_sub_waits_until_its_partition_is_joined)
{
    SUB(1, 2);
    assert_came(&client, "");
    cr_expect(client.is_paused);
    cr_expect(ft_interest_is_wanted(&relay.interest, 2));
    cr_expect(relay.interests > 0);
    join(1);
    assert_came(&client, "");
    join(2);
    assert_came(&client, "ok:1");
    cr_expect_not(client.is_paused);
    cr_expect_null(client.session.stall);
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

/* ---- the end of a session that waits ---- */

Test(stall, a_session_that_is_gone_waits_for_nothing)
{
    SUB(1, 1);
    ft_fake_client_say(&client, "{\"op\":\"ping\",\"id\":2}");
    ft_fake_client_close(&client);
    cr_expect_not(ft_interest_is_wanted(&relay.interest, 1));
    join(1);
}

Test(stall, a_session_that_is_ended_is_read_again_and_answers_nothing)
{
    SUB(1, 1);
    ft_fake_node_begin(&node, 0);
    ft_session_end(&client.session, 4403, "disconnected by the operator");
    (void)ft_fake_node_end(&node, 0);
    assert_came(&client, "close 4403");
    cr_expect_not(client.is_paused, "the answer to the close frame has to be read");
    cr_expect_not(ft_interest_is_wanted(&relay.interest, 1));
    join(1);
    assert_came(&client, "");
}

Test(stall, a_peer_that_closes_gets_no_answers_any_more)
{
    SUB(1, 1);
    ft_fake_node_begin(&node, 0);
    ft_session_peer_closed(&client.session, 1000);
    (void)ft_fake_node_end(&node, 0);
    assert_came(&client, "close 1000");
    join(1);
    assert_came(&client, "");
}

Test(stall, a_session_may_be_ended_by_what_has_waited)
{
    SUB(1, 1);
    for (int i = 0; i < FT_BAD_ENVELOPES_MAX; i++)
        ft_fake_client_say(&client, "[{\"op\":\"ping\"},7,{\"op\":\"ping\"}]");
    ft_fake_client_say(&client, "{\"op\":\"ping\",\"id\":2}");
    join(1);
    const char *all = came(&client);
    cr_expect_str_eq(all + strlen(all) - 10, "close 4400");
    cr_expect_null(strstr(all, "ok:2"));
    cr_expect_null(client.session.stall);
}

Test(stall, the_worker_ends_all_also_those_who_wait)
{
    SUB(1, 1);
    struct ft_worker *worker = ft_fake_node_begin(&node, 0);
    ft_worker_end_all(worker, 1012, "restart");
    (void)ft_fake_node_end(&node, 0);
    assert_came(&client, "close 1012");
}

Test(stall, a_token_that_expires_meanwhile_is_told_and_the_request_refused_by_its_rights_then)
{
    const struct ft_fake_token token = {
        .user = "ann", .sub = "#", .expires_ms = node.wall_ms + 500};
    struct ft_fake_client ann = {.who = ft_fake_identity(&token)};
    node.gate.grace_ms = 1000;
    ft_fake_client_open(&node, &ann, 0, FT_FRAMES_JSON);
    say_of(&ann, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"$\"]}", 1);
    ft_fake_node_pass(&node, 1000);
    assert_came(&ann, "error");
    ft_fake_node_pass(&node, 1000);
    assert_came(&ann, "close 4401");
    join(1);
    assert_came(&ann, "");
    ft_fake_client_close(&ann);
}

Test(stall, a_peer_that_cannot_be_heard_is_not_taken_for_dead)
{
    ft_fake_node_pass(&node, 49000);
    client.silence_ms = 49000;
    SUB(1, 1);
    ft_fake_client_forget(&client);
    client.silence_ms = 1000000;
    client.session.heard = 0;
    ft_fake_node_pass(&node, DEADLINE_MS + TICK_MS);
    assert_came(&client, "ok:1");
}

/* ---- event streams ---- */

static enum ft_err stream(struct ft_fake_client *to, const char *sub)
{
    struct ft_problem problem;
    char text[256];
    snprintf(text, sizeof(text), "{\"op\":\"sub\",\"topics\":[\"%s\"]}", sub);
    ft_fake_client_open(&node, to, 0, FT_FRAMES_EVENTS);
    ft_fake_node_begin(&node, 0);
    enum ft_err err = ft_session_carry_out(&to->session, ft_slice_str(text), &problem);
    ft_fake_node_settle(&node);
    return err;
}

Test(stall, an_event_stream_waits_with_its_ok)
{
    struct ft_fake_client events = {0};
    cr_assert_eq(stream(&events, topics[1]), FT_OK);
    cr_expect_str_eq(ft_fake_client_sent(&events), "");
    cr_expect_not(events.is_paused, "its end has to be noticed");
    join(1);
    cr_expect_eq(strncmp(ft_fake_client_sent(&events), "event: ok\n", 10), 0);
    ft_fake_client_close(&events);
}

Test(stall, a_refusal_of_an_event_stream_comes_before_it_waits)
{
    struct ft_fake_client events = {0};
    configure(0, (size_t)1 << 16);
    cr_assert_eq(stream(&events, topics[1]), FT_ERR_TOO_MANY);
    cr_expect_null(events.session.stall);
    ft_fake_client_close(&events);
}

Test(stall, what_goes_wrong_later_is_an_event_and_ends_the_stream)
{
    struct ft_fake_client events = {0};
    cr_assert_eq(stream(&events, topics[1]), FT_OK);
    configure(0, (size_t)1 << 16);
    join(1);
    const char *sent = ft_fake_client_sent(&events);
    cr_expect_eq(strncmp(sent, "event: error\n", 13), 0, "%s", sent);
    cr_expect(strstr(sent, "event: bye\n"), "%s", sent);
    cr_expect(events.is_finished);
    ft_fake_client_close(&events);
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
