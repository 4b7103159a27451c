/* What becomes of sessions that wait for other nodes when they end, and of event streams that do. */
#include "tests/unit/support/stall_case.h"

TestSuite(stall_end, .init = ft_stall_case_begin, .fini = ft_stall_case_end);

/* ---- the end of a session that waits ---- */

Test(stall_end, a_session_that_is_gone_waits_for_nothing)
{
    SUB(1, 1);
    ft_fake_client_say(&client, "{\"op\":\"ping\",\"id\":2}");
    ft_fake_client_close(&client);
    cr_expect_not(ft_interest_is_wanted(&relay.interest, 1));
    join(1);
}

Test(stall_end, a_session_that_is_ended_is_read_again_and_answers_nothing)
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

Test(stall_end, a_peer_that_closes_gets_no_answers_any_more)
{
    SUB(1, 1);
    ft_fake_node_begin(&node, 0);
    ft_session_peer_closed(&client.session, 1000);
    (void)ft_fake_node_end(&node, 0);
    assert_came(&client, "close 1000");
    join(1);
    assert_came(&client, "");
}

Test(stall_end, a_session_may_be_ended_by_what_has_waited)
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

Test(stall_end, the_worker_ends_all_also_those_who_wait)
{
    SUB(1, 1);
    struct ft_worker *worker = ft_fake_node_begin(&node, 0);
    ft_worker_end_all(worker, 1012, "restart");
    (void)ft_fake_node_end(&node, 0);
    assert_came(&client, "close 1012");
}

Test(stall_end, a_token_that_expires_meanwhile_is_told_and_the_request_refused_by_its_rights_then)
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

Test(stall_end, a_peer_that_cannot_be_heard_is_not_taken_for_dead)
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

Test(stall_end, an_event_stream_waits_with_its_ok)
{
    struct ft_fake_client events = {0};
    cr_assert_eq(stream(&events, topics[1]), FT_OK);
    cr_expect_str_eq(ft_fake_client_sent(&events), "");
    cr_expect_not(events.is_paused, "its end has to be noticed");
    join(1);
    cr_expect_eq(strncmp(ft_fake_client_sent(&events), "event: ok\n", 10), 0);
    ft_fake_client_close(&events);
}

Test(stall_end, a_refusal_of_an_event_stream_comes_before_it_waits)
{
    struct ft_fake_client events = {0};
    configure(0, (size_t)1 << 16);
    cr_assert_eq(stream(&events, topics[1]), FT_ERR_TOO_MANY);
    cr_expect_null(events.session.stall);
    ft_fake_client_close(&events);
}

Test(stall_end, what_goes_wrong_later_is_an_event_and_ends_the_stream)
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
