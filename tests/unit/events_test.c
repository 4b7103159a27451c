/* Event streams: sessions whose frames are events. What they are told first, how they go on, and how they
 * end. */
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { PING_S = 25 };

static struct ft_fake_node node;
static struct ft_fake_client stream, publisher;

static void setup(void)
{
    ft_fake_node_init(&node, &(struct ft_journal_options){0},
                      &(struct ft_hub_options){.ping_s = PING_S}, 1);
    ft_fake_client_open(&node, &publisher, 0, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &stream, 0, FT_FRAMES_EVENTS);
}

static void teardown(void)
{
    ft_fake_node_fini(&node);
}

TestSuite(events, .init = setup, .fini = teardown);

static enum ft_err carry_out(const char *sub, struct ft_problem *problem)
{
    ft_fake_node_begin(&node, 0);
    enum ft_err err = ft_session_carry_out(&stream.session, ft_slice_str(sub), problem);
    ft_fake_node_settle(&node);
    return err;
}

static void assert_sent(const char *expected)
{
    cr_assert_str_eq(ft_fake_client_sent(&stream), expected);
    ft_fake_client_forget(&stream);
}

Test(events, the_first_one_is_the_ok_with_its_position_as_id)
{
    struct ft_problem problem;
    assert_sent(""); /* no welcome */
    cr_assert_eq(carry_out("{\"op\":\"sub\",\"topics\":[\"a/#\"]}", &problem), FT_OK);
    assert_sent("event: ok\nid: teststream.0\n"
                "data: {\"op\":\"ok\",\"pos\":[\"teststream.0\"]}\n\n\nid: teststream.0\n\n\n");
    ft_fake_client_say(&publisher, "{\"op\":\"pub\",\"topic\":\"a/b\",\"data\":7}");
    assert_sent("id: teststream.1\ndata: {\"op\":\"msg\",\"topic\":\"a/b\",\"data\":7,"
                "\"at\":1763700000000,\"pos\":\"teststream.1\"}\n\n\n");
}

Test(events, a_stream_resumes_and_is_told_so)
{
    struct ft_problem problem;
    ft_fake_client_say(&publisher, "[{\"op\":\"pub\",\"topic\":\"a\",\"data\":1},"
                                   "{\"op\":\"pub\",\"topic\":\"a\",\"data\":2}]");
    cr_assert_eq(
        carry_out("{\"op\":\"sub\",\"topics\":[\"a\"],\"since\":[\"teststream.1\"]}", &problem),
        FT_OK);
    assert_sent("event: ok\nid: teststream.1\n"
                "data: {\"op\":\"ok\",\"recovered\":true,\"pos\":[\"teststream.1\"]}\n\n\n"
                "id: teststream.2\ndata: {\"op\":\"msg\",\"topic\":\"a\",\"data\":2,"
                "\"at\":1763700000000,\"pos\":\"teststream.2\"}\n\n"
                "id: teststream.2\n\n\n");
}

Test(events, a_last_value_is_marked_and_not_where_a_browser_goes_on)
{
    struct ft_problem problem;
    ft_fake_client_say(&publisher, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1,\"retain\":true}");
    ft_fake_client_say(&publisher, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":2}");
    cr_assert_eq(carry_out("{\"op\":\"sub\",\"topics\":[\"a\"]}", &problem), FT_OK);
    assert_sent("event: ok\nid: teststream.2\n"
                "data: {\"op\":\"ok\",\"pos\":[\"teststream.2\"]}\n\n\n"
                "id: teststream.1\ndata: {\"op\":\"msg\",\"topic\":\"a\",\"data\":1,"
                "\"at\":1763700000000,\"pos\":\"teststream.1\",\"retained\":true}\n\n"
                "id: teststream.2\n\nid: teststream.2\n\n\n");
}

Test(events, a_bad_subscription_is_an_error_of_the_caller_and_nothing_is_sent)
{
    struct ft_problem problem;
    cr_assert_eq(carry_out("{\"op\":\"sub\",\"topics\":[\"a/#/b\"]}", &problem), FT_ERR_BAD_FILTER);
    cr_assert_eq(carry_out("{\"op\":\"sub\",\"topics\":[]}", &problem), FT_ERR_BAD_FIELD);
    cr_assert_eq(carry_out("{\"op\":\"sub\",\"topics\":[\"a\xff\"]}", &problem),
                 FT_ERR_BAD_REQUEST);
    cr_assert_eq(carry_out("{\"op\":\"sub\",\"topics\":[\"a\"],\"since\":[\"x\"]}", &problem),
                 FT_ERR_BAD_FIELD);
    assert_sent("");
    cr_assert_null(stream.session.subscriptions);
}

Test(events, what_is_longer_than_a_message_is_not_read)
{
    static char sub[70000] = "{\"op\":\"sub\",\"topics\":[\"";
    size_t len = strlen(sub);
    memset(sub + len, 'a', sizeof(sub) - 1 - len);
    struct ft_problem problem;
    cr_assert_eq(carry_out(sub, &problem), FT_ERR_TOO_LARGE);
    assert_sent("");
}

Test(events, a_silent_stream_gets_comments_and_lives_by_the_acknowledgements)
{
    struct ft_problem problem;
    cr_assert_eq(carry_out("{\"op\":\"sub\",\"topics\":[\"a\"]}", &problem), FT_OK);
    ft_fake_client_forget(&stream);
    for (int i = 0; i < 5; i++) {
        stream.silence_ms = PING_S * 1000; /* the last comment was acknowledged */
        ft_fake_node_pass(&node, PING_S * 1000);
        assert_sent(":\n\n\n");
    }
    stream.silence_ms = UINT64_C(3) * PING_S * 1000;
    ft_fake_node_pass(&node, UINT64_C(2) * PING_S * 1000);
    cr_assert(
        strstr(ft_fake_client_sent(&stream), "event: bye\ndata: {\"op\":\"bye\",\"code\":4408,"));
    cr_assert(stream.is_finished);
    ft_fake_node_pass(&node, 3000);
    cr_assert(stream.is_killed, "who does not end is cut off");
}

Test(events, a_stream_that_is_ended_says_why_and_finishes)
{
    struct ft_problem problem;
    cr_assert_eq(carry_out("{\"op\":\"sub\",\"topics\":[\"a\"]}", &problem), FT_OK);
    ft_fake_client_forget(&stream);
    ft_fake_node_begin(&node, 0);
    ft_session_end(&stream.session, 4403, "disconnected by the operator");
    cr_assert_not(stream.is_finished, "not before it was written");
    ft_fake_node_settle(&node);
    assert_sent("event: bye\ndata: {\"op\":\"bye\",\"code\":4403,"
                "\"reason\":\"disconnected by the operator\"}\n\n\n");
    cr_assert(stream.is_finished);
}

Test(events, a_slow_stream_is_told_of_the_gap_with_its_position_as_id)
{
    struct ft_problem problem;
    cr_assert_eq(carry_out("{\"op\":\"sub\",\"topics\":[\"a\"]}", &problem), FT_OK);
    ft_fake_client_forget(&stream);
    stream.takes = 1;
    static char pub[40000];
    for (int i = 0; i < 64; i++) { /* twice what the journal holds */
        snprintf(pub, sizeof(pub), "{\"op\":\"pub\",\"topic\":\"a\",\"data\":\"%032000d\"}", i);
        ft_fake_client_say(&publisher, pub);
    }
    ft_fake_client_forget(&stream);
    ft_fake_node_begin(&node, 0);
    ft_fake_client_unblock(&stream, FT_FAKE_ALL);
    ft_fake_node_settle(&node);
    const char *sent = ft_fake_client_sent(&stream);
    cr_assert_eq(strncmp(sent, "event: gap\nid: teststream.", 26), 0, "%.100s", sent);
    cr_assert(strstr(sent, "\ndata: {\"op\":\"gap\",\"reason\":\"slow\",\"lost\":"), "%.200s",
              sent);
}
