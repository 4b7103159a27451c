/* Subscriptions of a client over the many streams of a cluster: what is kept, named and forgotten. */
#include "tests/unit/support/subscription_case.h"

#include <stdio.h>

/* The positions that a subscription would go on from, in the order of the client. */
static void expect_positions(const struct fantail_subscription *sub, const char *text)
{
    char all[256] = "", one[FT_POSITION_BYTES_MAX];
    for (size_t i = 0; i < ft_subscription_position_count(sub); i++) {
        ft_subscription_position(sub, i, one, sizeof(one));
        strncat(all, one, sizeof(all) - strlen(all) - 1);
        strncat(all, " ", sizeof(all) - strlen(all) - 1);
    }
    cr_assert_str_eq(all, text);
}

Test(client_subscriptions_streams, each_stream_is_named_where_it_was_seen_last)
{
    start();
    struct fantail_subscription *a = add("#", 0, "A");
    ask_all();
    accept("s1", "x.5 y.0 z.7");
    expect_log("A ok ");
    expect_delivery("a", "y.1", "A ");
    expect_delivery("b", "x.9", "A ");
    expect_delivery("a", "y.2", "A ");
    expect_positions(a, "x.9 y.2 z.7 ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s2\",\"since\":[\"x.9\",\"y.2\",\"z.7\"],"
                  "\"topics\":[\"#\"]}");
    resume("s2", true, "x.9 y.2 z.7");
    expect_log("recovered ");
    expect_delivery("b", "z.8", "A ");
    expect_positions(a, "x.9 y.2 z.8 ");
    finish();
}

Test(client_subscriptions_streams, a_stream_that_only_the_answer_to_a_resume_names_is_kept)
{
    start();
    struct fantail_subscription *a = add("#", 0, "A");
    ask_all();
    accept("s1", "x.5"); /* the node did not know more yet */
    ft_subscriptions_break(&subs);
    ask_all();
    resume("s2", true, "x.5 y.30");
    expect_log("A ok recovered ");
    expect_positions(a, "x.5 y.30 ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"x.5\",\"y.30\"],\"topics\":[\"#\"]}");
    resume("s3", true, "x.5 y.30");
    expect_log("recovered ");
    expect_delivery("a", "y.31", "A ");
    finish();
}

Test(client_subscriptions_streams, a_stream_that_was_learned_is_still_replayed_to_others)
{
    start();
    add("a", 0, "A");
    ask_all();
    accept("s1", "x.5");
    struct fantail_subscription *b = add("#", 500, "B");
    ask_all();
    accept("s2", "x.5 y.10");
    expect_log("A ok B ok ");
    expect_delivery("b", "y.11", "B ");
    ft_subscriptions_break(&subs);
    ask_all();
    resume("s3", true, "x.5 y.20"); /* A: y begins here */
    resume("s4", true, "x.5 y.11");
    expect_log("recovered ");
    expect_delivery("a", "y.15", "B "); /* from before A had y */
    expect_delivery("a", "y.21", "A B ");
    expect_positions(b, "x.5 y.15 ");
    finish();
}

/* Subscribes to one that goes on from a position. */
static void add_since(const char *filter, const char *since, const char *name)
{
    struct fantail_subscription *sub = NULL;
    struct fantail_subscribe_options options = {
        .since = &since, .since_count = 1, .on_result = on_result};
    cr_assert_eq(ft_subscriptions_add(&subs, &filter, 1, &options, on_message,
                                      (void *)(uintptr_t)name, &sub, NULL),
                 FT_OK);
}

Test(client_subscriptions_streams, who_stands_in_an_earlier_life_goes_on_from_there)
{
    start();
    add_since("a", "0aaxxxxxzz.10", "A");
    add_since("#", "0aaxxxxxzz.30", "B");
    ask_all();
    resume("s1", true, "0aaxxxxxzz.10");
    resume("s2", true, "0aaxxxxxzz.30");
    expect_log("A ok B ok ");
    expect_delivery("b", "0aayyyyyzz.5", "B ");
    ft_subscriptions_break(&subs);
    expect_ask(0,
               "{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"0aaxxxxxzz.10\"],\"topics\":[\"a\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s4\",\"since\":[\"0aaxxxxxzz.30\",\"0aayyyyyzz.5\"],"
                  "\"topics\":[\"#\"]}");
    finish();
}

Test(client_subscriptions_streams, what_was_not_recovered_forgets_the_streams_that_are_not_named)
{
    start();
    struct fantail_subscription *a = add("#", 0, "A");
    ask_all();
    accept("s1", "x.5 y.6 z.7");
    ft_subscriptions_break(&subs);
    ask_all();
    resume("s2", false, "x.5 new.0 z.9");
    expect_log("A ok missing ");
    expect_positions(a, "x.5 new.0 z.9 ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"x.5\",\"new.0\",\"z.9\"],"
                  "\"topics\":[\"#\"]}");
    finish();
}

Test(client_subscriptions_streams, a_gap_names_several_and_may_name_new_ones)
{
    struct ft_positions gap;
    ft_positions_init(&gap);
    start();
    struct fantail_subscription *a = add("#", 0, "A");
    struct fantail_subscription *b = add("b", 0, "B");
    ask_all();
    accept("s1", "x.5 y.6");
    accept("s2", "y.6");
    expect_log("A ok B ok ");
    see_all(&gap, "x.5 y.90 new.3");
    ft_subscriptions_skip(&subs, &gap);
    expect_positions(a, "x.5 y.90 new.3 ");
    expect_positions(b, "x.5 y.90 new.3 ");
    expect_delivery("b", "new.4", "A B ");
    ft_subscriptions_break(&subs);
    ft_buffer_clear(&envelope);
    cr_assert(ft_subscriptions_ask(&subs, 0, 1000, FT_JSON, &envelope));
    cr_assert(ft_slice_equal(ft_buffer_slice(&envelope),
                             ft_slice_str("{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"x.5\","
                                          "\"y.90\",\"new.4\"],\"topics\":[\"#\",\"b\"]}")));
    ft_positions_fini(&gap);
    finish();
}

/* Two lives of the largest cluster. */
Test(client_subscriptions_streams, hundreds_of_streams_are_all_named)
{
    enum { STREAMS = 512 };
    struct ft_positions starts;
    char pos[32];
    ft_positions_init(&starts);
    start();
    for (int i = 0; i < STREAMS; i++) {
        snprintf(pos, sizeof(pos), "stream%d.%d", i, i);
        ft_positions_see(&starts, ft_slice_str(pos));
    }
    struct fantail_subscription *a = add("#", 0, "A");
    ask_all();
    struct fantail_result fine = {.message = ""};
    cr_assert(ft_subscriptions_answer(&subs, ft_slice_str("s1"), &fine, &starts, 0, on_error));
    expect_log("A ok ");
    for (int i = 0; i < STREAMS; i += 3) {
        snprintf(pos, sizeof(pos), "stream%d.%d", i, i + 1);
        expect_delivery("t", pos, "A ");
    }
    cr_assert_eq(ft_subscription_position_count(a), STREAMS);
    ft_subscriptions_break(&subs);
    ft_buffer_clear(&envelope);
    cr_assert(ft_subscriptions_ask(&subs, 0, 60000, FT_JSON, &envelope));
    ft_buffer_add_byte(&envelope, '\0');
    for (int i = 0; i < STREAMS; i++) {
        snprintf(pos, sizeof(pos), "\"stream%d.%d\"", i, i % 3 ? i : i + 1);
        cr_assert(strstr((const char *)envelope.ptr, pos), "%s", pos);
    }
    ft_positions_fini(&starts);
    finish();
}
