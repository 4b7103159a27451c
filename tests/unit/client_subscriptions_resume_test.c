/* Subscriptions of a client after a break: what each goes on from, and what of the past is asked for. */
#include "tests/unit/support/subscription_case.h"

Test(client_subscriptions_resume, all_resume_in_one_request_from_where_they_were)
{
    start();
    struct fantail_subscription *a = add("a", 0, "A");
    struct fantail_subscription *b = add("b", 0, "B");
    ask_all();
    accept("s1", "n.5");
    accept("s2", "n.5");
    expect_log("A ok B ok ");
    expect_delivery("a", "n.6", "A ");
    expect_delivery("b", "n.9", "B ");
    expect_position(a, "n.9");
    expect_position(b, "n.9");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"n.9\"],\"topics\":[\"a\",\"b\"]}");
    expect_ask(0, NULL);
    resume("s3", true, "n.9");
    expect_log("recovered ");
    expect_delivery("a", "n.12", "A ");
    expect_position(b, "n.12");
    finish();
}

Test(client_subscriptions_resume, positions_are_those_of_deliveries_not_of_later_answers)
{
    start();
    struct fantail_subscription *a = add("a", 0, "A");
    ask_all();
    accept("s1", "n.5");
    struct fantail_subscription *b = add("b", 0, "B");
    ask_all();
    accept("s2", "n.80"); /* deliveries to A up to n.80 may still be under way */
    expect_log("A ok B ok ");
    expect_position(a, "n.5");
    expect_position(b, "n.80");
    expect_delivery("a", "n.6", "A ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"n.6\"],\"topics\":[\"a\",\"b\"]}");
    resume("s3", true, "n.6");
    expect_log("recovered ");
    expect_delivery("b", "n.70", ""); /* published before B subscribed */
    expect_delivery("a", "n.71", "A ");
    expect_delivery("b", "n.81", "B ");
    expect_position(a, "n.81");
    finish();
}

Test(client_subscriptions_resume, what_started_at_different_times_still_has_each_publication_once)
{
    start();
    add("a", 0, "A");
    ask_all();
    accept("s1", "n.0");
    ft_subscriptions_break(&subs);
    ask_all();
    resume("s2", true, "n.0");
    struct fantail_subscription *late = add("#", 0, "late");
    ask_all();
    accept("s3", "n.50");
    expect_log("A ok recovered late ok ");
    expect_delivery("x", "n.51", "late "); /* A is still catching up: n.51 is not its position */
    expect_delivery("a", "n.20", "A ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s4\",\"since\":[\"n.20\"],\"topics\":[\"a\",\"#\"]}");
    resume("s4", true, "n.20");
    expect_log("recovered ");
    expect_delivery("a", "n.30", "A ");
    expect_delivery("x", "n.51", "");
    expect_delivery("a", "n.52", "A late ");
    expect_position(late, "n.52");
    finish();
}

Test(client_subscriptions_resume, requests_that_part_do_not_move_each_other_on)
{
    start();
    struct fantail_subscription *a = add("a", 0, "A");
    struct fantail_subscription *b = add("0123456789012345678901234567890", 0, "B");
    ask_all();
    accept("s1", "n.1");
    accept("s2", "n.1");
    expect_log("A ok B ok ");
    for (int i = 0; i < 2; i++) {
        ft_subscriptions_break(&subs);
        ft_buffer_clear(&envelope);
        cr_assert(ft_subscriptions_ask(&subs, 0, 60, FT_JSON, &envelope));
        cr_assert(ft_subscriptions_ask(&subs, 0, 60, FT_JSON, &envelope));
        resume(i ? "s5" : "s3", true, "n.1");
        expect_log("");
        expect_delivery("a", i ? "n.8" : "n.7", "A ");
        expect_position(a, i ? "n.8" : "n.7");
        expect_position(b, "n.1"); /* not answered: nothing has come for it */
    }
    resume("s6", true, "n.1");
    expect_log("recovered ");
    expect_delivery("a", "n.8", ""); /* the second replay may bring what the first did */
    expect_delivery("0123456789012345678901234567890", "n.2", "B ");
    expect_position(b, "n.2");
    finish();
}

Test(client_subscriptions_resume, what_is_missing_is_told_at_once_and_the_new_stream_is_followed)
{
    start();
    struct fantail_subscription *a = add("a", 0, "A");
    add("b", 7, "B");
    ask_all();
    accept("s1", "old.5");
    accept("s2", "old.5");
    ft_subscriptions_break(&subs);
    ask_all();
    expect_log("A ok B ok ");
    resume("s3", false, "new.2");
    expect_log("missing ");
    resume("s4", true, "old.5");
    expect_log("");
    expect_position(a, "new.2");
    expect_delivery("a", "new.3", "A ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s5\",\"since\":[\"new.3\"],\"topics\":[\"a\"]}");
    finish();
}

Test(client_subscriptions_resume, what_was_never_answered_starts_live_behind_what_resumes)
{
    start();
    add("new", 0, "N");
    struct fantail_subscription *a = add("a", 0, "A");
    ask_all();
    accept("s2", "n.3");
    expect_log("A ok ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"n.3\"],\"topics\":[\"a\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s4\",\"topics\":[\"new\"]}");
    ft_subscriptions_remove(&subs, a, FT_JSON, &envelope);
    expect_ask(0, NULL);
    expect_log("recovered "); /* there is nothing left that it could wait for */
    finish();
}

Test(client_subscriptions_resume, nothing_is_delivered_before_the_answer)
{
    start();
    add("t", 0, "first");
    ask_all();
    accept("s1", "n.0");
    add("#", 0, "second");
    ask_all();
    expect_log("first ok ");
    expect_delivery("t", "n.1", "first ");
    accept("s2", "n.1");
    expect_log("second ok ");
    expect_delivery("t", "n.2", "first second ");
    finish();
}

static struct fantail_subscription *add_since(const char *filter, const char *pos, const char *name)
{
    struct fantail_subscription *sub = NULL;
    struct fantail_subscribe_options options = {
        .since = &pos,
        .since_count = 1,
        .last = 9,
        .on_result = on_result,
    };
    cr_assert_eq(ft_subscriptions_add(&subs, &filter, 1, &options, on_message,
                                      (void *)(uintptr_t)name, &sub, NULL),
                 FT_OK);
    return sub;
}

Test(client_subscriptions_resume, those_that_begin_at_the_same_position_are_asked_for_together)
{
    start();
    expect_position(add_since("a", "n.7", "A"), "n.7");
    add_since("b", "n.8", "B");
    add_since("c", "n.7", "C");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s1\",\"since\":[\"n.7\"],\"topics\":[\"a\",\"c\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s2\",\"since\":[\"n.8\"],\"topics\":[\"b\"]}");
    resume("s1", true, "n.7");
    resume("s2", false, "n.20");
    expect_log("A ok C ok B ok ");
    expect_delivery("c", "n.9", "C ");
    finish();
}

Test(client_subscriptions_resume, a_since_that_is_no_position_is_refused_at_once)
{
    static const char *const filter = "a";
    const char *since[] = {"n.7", "7"};
    struct fantail_subscribe_options options = {.since = since, .since_count = 2};
    struct fantail_subscription *sub = NULL;
    struct ft_problem problem;
    start();
    cr_assert_eq(ft_subscriptions_add(&subs, &filter, 1, &options, NULL, NULL, &sub, &problem),
                 FT_ERR_BAD_FIELD);
    cr_assert(strstr(problem.text, "\"7\""), "%s", problem.text);
    cr_assert_null(sub);
    finish();
}

Test(client_subscriptions_resume, the_past_is_asked_for_once_and_not_taken_for_old)
{
    static const char *const filter = "p/#";
    struct fantail_subscribe_options options = {.last = 2};
    struct fantail_subscription *past;
    start();
    add_since("a", "n.7", "A");
    cr_assert_eq(ft_subscriptions_add(&subs, &filter, 1, &options, on_message,
                                      (void *)(uintptr_t) "past", &past, NULL),
                 FT_OK);
    ask_all();
    resume("s1", true, "n.7");
    cr_assert_eq(ft_subscriptions_due_ms(&subs), 3000, "not amid what is replayed");
    expect_ask(3000, "{\"op\":\"sub\",\"id\":\"s2\",\"last\":2,\"topics\":[\"p/#\"]}");
    accept("s2", "n.90");
    expect_log("A ok ");
    expect_delivery("p/x", "n.3", "past ");
    expect_delivery("p/x", "n.80", "past ");
    expect_position(past, "n.90");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"n.7\"],\"topics\":[\"a\",\"p/#\"]}");
    resume("s3", true, "n.7");
    expect_log("recovered ");
    expect_delivery("p/x", "n.80", "");
    expect_delivery("p/x", "n.91", "past ");
    finish();
}

Test(client_subscriptions_resume, retained_values_are_given_whatever_their_position)
{
    start();
    struct fantail_subscription *a = add("a", 0, "A");
    ask_all();
    accept("s1", "n.50");
    expect_log("A ok ");
    deliver_at("a", "n.3", true);
    expect_log("A ");
    deliver_at("a", "older.900", true);
    expect_log("A ");
    expect_position(a, "n.50");
    finish();
}

Test(client_subscriptions_resume, what_runs_ahead_does_not_move_on_what_is_held_back)
{
    start();
    struct fantail_subscription *all = add("a", 0, "all"), *some = add("#", 500, "some");
    ask_all();
    accept("s1", "n.5");
    accept("s2", "n.5");
    log_text[0] = '\0';
    expect_delivery("a", "n.9", "all some "); /* at once, because of the one; n.7 of b waits */
    expect_position(all, "n.9");
    expect_position(some, "n.5");
    expect_delivery("b", "n.7", "some ");
    expect_position(some, "n.7");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"n.9\"],\"topics\":[\"a\"]}");
    expect_ask(
        0, "{\"op\":\"sub\",\"id\":\"s4\",\"since\":[\"n.7\"],\"every\":500,\"topics\":[\"#\"]}");
    finish();
}

Test(client_subscriptions_resume, what_the_broker_has_ended_is_left_out)
{
    start();
    const char *const filters[] = {"a", "b/#"};
    struct fantail_subscription *both, *one = add("a", 250, "one");
    cr_assert_eq(ft_subscriptions_add(&subs, filters, 2, NULL, on_message,
                                      (void *)(uintptr_t) "both", &both, NULL),
                 FT_OK);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s1\",\"every\":250,\"topics\":[\"a\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s2\",\"topics\":[\"a\",\"b/#\"]}");
    accept("s2", "j1.5");
    /* "one" is not in force yet: what was ended before is not meant for it. */
    ft_subscriptions_end(&subs, ft_slice_str("a"));
    ft_subscriptions_end(&subs, ft_slice_str("unknown"));
    accept("s1", "j1.5");
    expect_log("one ok ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"since\":[\"j1.5\"],\"topics\":[\"b/#\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s4\",\"since\":[\"j1.5\"],\"every\":250,"
                  "\"topics\":[\"a\"]}");
    resume("s3", true, "j1.5");
    resume("s4", true, "j1.5");
    expect_log("recovered ");
    ft_subscriptions_end(&subs, ft_slice_str("a"));
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s5\",\"since\":[\"j1.5\"],\"topics\":[\"b/#\"]}");
    expect_ask(0, NULL);
    ft_buffer_clear(&envelope);
    ft_subscriptions_remove(&subs, one, FT_JSON, &envelope);
    cr_assert_eq(envelope.len, 0);
    finish();
}
