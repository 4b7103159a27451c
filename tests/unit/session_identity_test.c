/* What a session may do follows from whose it is: publishing, subscribing, looking back; until its token ends,
 * or a fresh one comes. */
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SOON_MS = 5000, GRACE_MS = 3000 };

static const struct ft_fake_token ann = {.user = "ann", .sub = "news/#", .pub = "ann/+"};

static struct ft_fake_node node;
static struct ft_fake_client client, other;
static char welcome[1024];

static void setup(void)
{
    ft_fake_node_init(&node, &(struct ft_journal_options){0}, &(struct ft_hub_options){0}, 1);
    node.gate.grace_ms = GRACE_MS;
    ft_fake_client_open(&node, &other, 0, FT_FRAMES_JSON);
}

static void teardown(void)
{
    ft_fake_node_fini(&node);
}

TestSuite(session_identity, .init = setup, .fini = teardown);

static void note_welcome(struct ft_fake_client *fake, uint8_t opcode, struct ft_slice payload)
{
    (void)opcode;
    cr_assert_lt(payload.len, sizeof(welcome));
    memcpy(welcome, payload.ptr, payload.len);
    fake->on_frame = NULL;
}

static void open_as(const struct ft_fake_token *token, enum ft_frames frames)
{
    client.who = ft_fake_identity(token);
    if (frames != FT_FRAMES_EVENTS)
        client.on_frame = note_welcome;
    ft_fake_client_open(&node, &client, 0, frames);
}

/* Says something and checks what comes back, in few words. */
static void assert_told(const char *said, const char *expected)
{
    ft_fake_client_say(&client, said);
    cr_assert_str_eq(ft_fake_client_told(&client), expected, "after %s", said);
}

static void assert_sent(const char *part)
{
    cr_assert(strstr(ft_fake_client_sent(&client), part), "%s is not in %s", part,
              ft_fake_client_sent(&client));
}

/* ---- who it is ---- */

Test(session_identity, the_welcome_says_whose_session_it_is_and_until_when)
{
    struct ft_fake_token token = ann;
    token.expires_ms = FT_FAKE_WALL_MS + SOON_MS;
    open_as(&token, FT_FRAMES_JSON);
    cr_assert(strstr(welcome, "\"user\":\"ann\",\"ping\":"), "%s", welcome);
    cr_assert(strstr(welcome, ",\"expires\":1763700005000}"), "%s", welcome);
}

Test(session_identity, the_welcome_of_nobody_in_particular_has_no_user_and_no_end)
{
    open_as(&(struct ft_fake_token){0}, FT_FRAMES_JSON);
    cr_assert(strstr(welcome, "\"user\":null,"), "%s", welcome);
    cr_assert_null(strstr(welcome, "expires"), "%s", welcome);
}

/* ---- what it may do ---- */

Test(session_identity, a_publish_needs_a_filter_that_matches_its_topic)
{
    open_as(&ann, FT_FRAMES_JSON);
    ft_fake_client_say(&other, "{\"op\":\"sub\",\"topics\":[\"#\"]}");
    assert_told("{\"op\":\"pub\",\"id\":1,\"topic\":\"ann/x\",\"data\":1}", "ok@1");
    ft_fake_client_say(&client, "{\"op\":\"pub\",\"id\":2,\"topic\":\"news/\\\"x\",\"data\":2}");
    assert_sent("\"code\":403,\"message\":\"publishing to topic ");
    assert_sent("news/");
    ft_fake_client_forget(&client);
    assert_told("{\"op\":\"pub\",\"topic\":\"ann\",\"data\":3}", "error(403)");
    cr_assert_str_eq(ft_fake_client_told(&other), "ann/x=1@1");
}

Test(session_identity, nobody_publishes_to_the_topics_of_the_broker)
{
    open_as(&(struct ft_fake_token){.pub = "$sys/#"}, FT_FRAMES_JSON);
    assert_told("{\"op\":\"pub\",\"topic\":\"$sys/n/stats\",\"data\":1}", "error(403)");
    ft_fake_client_say(&other, "{\"op\":\"pub\",\"topic\":\"$sys/n/stats\",\"data\":1}");
    cr_assert_str_eq(ft_fake_client_told(&other), "error(403)");
}

Test(session_identity, one_filter_that_is_not_permitted_refuses_the_whole_sub)
{
    open_as(&ann, FT_FRAMES_JSON);
    ft_fake_client_say(&client,
                       "{\"op\":\"sub\",\"id\":1,\"topics\":[\"news/a\",\"olds/b\",\"#\"]}");
    assert_sent("\"code\":403,\"message\":\"a subscription to ");
    assert_sent("olds/b");
    ft_fake_client_forget(&client);
    cr_assert_null(client.session.subscriptions, "none of them");
    assert_told("{\"op\":\"sub\",\"id\":1,\"topics\":[\"news/a\",\"news/+/b\"]}", "ok@0");
    cr_assert_eq(client.session.subscription_count, 2);
}

Test(session_identity, ending_a_subscription_needs_no_permission)
{
    open_as(&ann, FT_FRAMES_JSON);
    assert_told("{\"op\":\"unsub\",\"id\":1,\"topics\":[\"olds/b\"]}", "ok");
}

Test(session_identity, looking_back_needs_what_a_subscription_needs)
{
    open_as(&ann, FT_FRAMES_JSON);
    assert_told("{\"op\":\"history\",\"id\":1,\"topic\":\"ann/x\"}", "error(403)");
    assert_told("{\"op\":\"history\",\"id\":1,\"topic\":\"news/x\"}", "ok");
}

Test(session_identity, an_event_stream_is_refused_what_is_not_permitted)
{
    open_as(&ann, FT_FRAMES_EVENTS);
    struct ft_problem problem;
    ft_fake_node_begin(&node, 0);
    static const char sub[] = "{\"op\":\"sub\",\"topics\":[\"olds/#\"]}";
    cr_assert_eq(ft_session_carry_out(&client.session, ft_slice_str(sub), &problem),
                 FT_ERR_FORBIDDEN);
    ft_fake_node_settle(&node);
    cr_assert_str_eq(ft_fake_client_sent(&client), "");
}

/* ---- until its token ends ---- */

static struct ft_fake_token ending(uint64_t in_ms)
{
    struct ft_fake_token token = ann;
    token.text = "fresh";
    token.expires_ms = node.wall_ms + in_ms;
    return token;
}

Test(session_identity, a_session_is_told_that_its_token_has_expired_and_ends_after_the_grace)
{
    struct ft_fake_token token = ending(SOON_MS);
    open_as(&token, FT_FRAMES_JSON);
    ft_fake_node_pass(&node, SOON_MS - 1);
    cr_assert_str_eq(ft_fake_client_told(&client), "");
    ft_fake_node_pass(&node, 2 * FT_WHEEL_TICK_MS);
    assert_sent("{\"op\":\"error\",\"code\":401,\"message\":\"the token has expired: ");
    cr_assert_str_eq(ft_fake_client_told(&client), "error(401)", "without an id, and once");
    assert_told("{\"op\":\"pub\",\"id\":1,\"topic\":\"ann/x\",\"data\":1}", "ok@1");
    ft_fake_node_pass(&node, GRACE_MS - 3 * FT_WHEEL_TICK_MS);
    cr_assert_str_eq(ft_fake_client_told(&client), "");
    ft_fake_node_pass(&node, 3 * FT_WHEEL_TICK_MS);
    cr_assert_str_eq(ft_fake_client_told(&client), "close(4401)");
}

Test(session_identity, without_a_grace_it_ends_at_once)
{
    node.gate.grace_ms = 0;
    struct ft_fake_token token = ending(SOON_MS);
    open_as(&token, FT_FRAMES_JSON);
    ft_fake_node_pass(&node, SOON_MS + FT_WHEEL_TICK_MS);
    cr_assert_str_eq(ft_fake_client_told(&client), "error(401) close(4401)");
}

Test(session_identity, a_token_taken_after_its_end_has_the_whole_grace)
{
    struct ft_fake_token token = ann;
    token.expires_ms = node.wall_ms - 2 * GRACE_MS; /* clocks differ, so the gate has a leeway */
    open_as(&token, FT_FRAMES_JSON);
    ft_fake_node_pass(&node, GRACE_MS);
    cr_assert_str_eq(ft_fake_client_told(&client), "error(401)");
    ft_fake_node_pass(&node, 3 * FT_WHEEL_TICK_MS);
    cr_assert_str_eq(ft_fake_client_told(&client), "close(4401)");
}

Test(session_identity, an_event_stream_cannot_send_a_fresh_token_and_ends)
{
    struct ft_fake_token token = ending(SOON_MS);
    open_as(&token, FT_FRAMES_EVENTS);
    ft_fake_node_pass(&node, SOON_MS + FT_WHEEL_TICK_MS);
    assert_sent("event: bye\ndata: {\"op\":\"bye\",\"code\":4401,");
    cr_assert(client.is_finished);
}

Test(session_identity, an_expiry_far_away_leaves_the_pings_as_they_are)
{
    struct ft_fake_token token = ending(UINT64_C(400) * 86400 * 1000);
    open_as(&token, FT_FRAMES_JSON);
    ft_fake_node_pass(&node, 26000);
    cr_assert_str_eq(ft_fake_client_told(&client), "ping");
}

/* ---- or a fresh one comes ---- */

Test(session_identity, a_fresh_token_in_the_grace_goes_on)
{
    struct ft_fake_token token = ending(SOON_MS);
    open_as(&token, FT_FRAMES_JSON);
    ft_fake_node_pass(&node, SOON_MS + FT_WHEEL_TICK_MS);
    ft_fake_client_forget(&client);
    node.gate.tokens[0] = ending(SOON_MS);
    ft_fake_client_say(&client, "{\"op\":\"auth\",\"id\":\"a\",\"token\":\"fresh\"}");
    char expected[128];
    snprintf(expected, sizeof(expected), "{\"op\":\"ok\",\"id\":\"a\",\"expires\":%llu}\n",
             (unsigned long long)node.gate.tokens[0].expires_ms);
    cr_assert_str_eq(ft_fake_client_sent(&client), expected);
    ft_fake_client_forget(&client);
    ft_fake_node_pass(&node, SOON_MS - FT_WHEEL_TICK_MS);
    cr_assert_str_eq(ft_fake_client_told(&client), "");
    ft_fake_node_pass(&node, 3 * FT_WHEEL_TICK_MS);
    cr_assert_str_eq(ft_fake_client_told(&client), "error(401)", "the fresh one ends, too");
}

Test(session_identity, what_the_fresh_token_does_not_permit_ends_and_is_named)
{
    struct ft_fake_token broad = {.user = "ann", .sub = "#"};
    open_as(&broad, FT_FRAMES_JSON);
    assert_told("{\"op\":\"sub\",\"id\":1,\"topics\":[\"news/a\",\"olds/#\",\"news/b\"]}", "ok@0");
    node.gate.tokens[0] = (struct ft_fake_token){.text = "t", .user = "ann", .sub = "news/#"};
    ft_fake_client_say(&other, "{\"op\":\"pub\",\"topic\":\"olds/x\",\"data\":1}");
    ft_fake_client_forget(&client);
    ft_fake_client_say(&client, "{\"op\":\"auth\",\"id\":2,\"token\":\"t\"}");
    cr_assert_str_eq(ft_fake_client_sent(&client),
                     "{\"op\":\"ok\",\"id\":2,\"unsubscribed\":[\"olds/#\"]}\n");
    ft_fake_client_forget(&client);
    ft_fake_client_say(&other, "[{\"op\":\"pub\",\"topic\":\"olds/x\",\"data\":2},"
                               "{\"op\":\"pub\",\"topic\":\"news/b\",\"data\":3}]");
    cr_assert_str_eq(ft_fake_client_told(&client), "news/b=3@3");
    cr_assert_eq(client.session.subscription_count, 2);
}

Test(session_identity, without_an_id_only_what_ends_is_told)
{
    struct ft_fake_token broad = {.user = "ann", .sub = "#"};
    open_as(&broad, FT_FRAMES_JSON);
    node.gate.tokens[0] = (struct ft_fake_token){.text = "t", .user = "ann", .sub = "news/#"};
    assert_told("{\"op\":\"sub\",\"id\":1,\"topics\":[\"news/a\",\"olds\"]}", "ok@0");
    ft_fake_client_say(&client, "{\"op\":\"auth\",\"token\":\"t\"}");
    assert_sent("{\"op\":\"error\",\"code\":403,\"message\":\"");
    assert_sent("\",\"unsubscribed\":[\"olds\"]}\n");
    ft_fake_client_forget(&client);
    assert_told("{\"op\":\"auth\",\"token\":\"t\"}", "");
}

Test(session_identity, a_fresh_token_that_permits_more_opens_more)
{
    open_as(&ann, FT_FRAMES_JSON);
    node.gate.tokens[0] =
        (struct ft_fake_token){.text = "t", .user = "ann", .sub = "#", .pub = "#"};
    assert_told("{\"op\":\"sub\",\"topics\":[\"olds\"]}", "error(403)");
    assert_told("{\"op\":\"auth\",\"id\":2,\"token\":\"t\"}", "ok");
    assert_told("{\"op\":\"sub\",\"id\":3,\"topics\":[\"olds\"]}", "ok@0");
    assert_told("{\"op\":\"pub\",\"topic\":\"olds\",\"data\":1}", "olds=1@1");
}

Test(session_identity, a_token_that_is_bad_or_somebody_elses_changes_nothing)
{
    struct ft_fake_token token = ending(SOON_MS);
    open_as(&token, FT_FRAMES_JSON);
    node.gate.tokens[0] = (struct ft_fake_token){.text = "bob's", .user = "bob", .sub = "#"};
    node.gate.tokens[1] = (struct ft_fake_token){.text = "nobody's", .sub = "#"};
    node.gate.tokens[2] = (struct ft_fake_token){.text = "old", .user = "ann", .expires_ms = 1};
    assert_told("{\"op\":\"sub\",\"id\":1,\"topics\":[\"news/a\"]}", "ok@0");
    assert_told("{\"op\":\"auth\",\"id\":1,\"token\":\"bob's\"}", "error(403)");
    assert_told("{\"op\":\"auth\",\"id\":1,\"token\":\"nobody's\"}", "error(403)");
    assert_told("{\"op\":\"auth\",\"id\":1,\"token\":\"old\"}", "error(401)");
    assert_told("{\"op\":\"auth\",\"id\":1,\"token\":\"\"}", "error(401)");
    assert_told("{\"op\":\"auth\",\"id\":1}", "error(400)");
    assert_told("{\"op\":\"sub\",\"id\":1,\"topics\":[\"olds\"]}", "error(403)");
    cr_assert_eq(client.session.subscription_count, 1);
    ft_fake_node_pass(&node, SOON_MS + GRACE_MS + 2 * FT_WHEEL_TICK_MS);
    cr_assert_str_eq(ft_fake_client_told(&client), "error(401) close(4401)", "as it was to be");
}
