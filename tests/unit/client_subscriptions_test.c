/* Subscriptions of a client: what is asked, what answers do, who hears what. */
#include "tests/unit/support/subscription_case.h"

Test(client_subscriptions, each_is_asked_for_once_and_its_owner_hears_once)
{
    start();
    add("a", 0, "A");
    add("b/#", 250, "B");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s1\",\"topics\":[\"a\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s2\",\"every\":250,\"topics\":[\"b/#\"]}");
    expect_ask(0, NULL);
    cr_assert(answer("s2", 0, 0, ""));
    cr_assert(answer("s1", 0, 0, ""));
    expect_log("B ok A ok ");
    cr_assert_not(answer("s1", 0, 0, ""), "answered already");
    finish();
}

Test(client_subscriptions, after_a_break_equal_ones_are_asked_for_together_up_to_a_size)
{
    start();
    add("a", 0, "A");
    add("b", 9, "B");
    add("c", 0, "C");
    add("0123456789012345678901234567", 0, "D"); /* doubled it passes what was allowed */
    for (int i = 0; i < 4; i++) {
        char id[] = {'s', (char)('1' + i), '\0'};
        ft_buffer_clear(&envelope);
        cr_assert(ft_subscriptions_ask(&subs, 0, 60, FT_JSON, &envelope));
        cr_assert(answer(id, 0, 0, ""));
    }
    expect_log("A ok B ok C ok D ok ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s5\",\"topics\":[\"a\",\"c\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s6\",\"topics\":[\"0123456789012345678901234567\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s7\",\"every\":9,\"topics\":[\"b\"]}");
    expect_ask(0, NULL);
    cr_assert(answer("s5", 0, 0, "") && answer("s6", 0, 0, "") && answer("s7", 0, 0, ""));
    expect_log("missing "); /* the broker gave no position to go on from */
    finish();
}

Test(client_subscriptions, one_bad_filter_does_not_take_its_neighbours_along)
{
    start();
    add("a", 0, "A");
    add("b", 0, "B");
    ask_all();
    cr_assert(answer("s1", 0, 0, "") && answer("s2", 0, 0, ""));
    expect_log("A ok B ok ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"topics\":[\"a\",\"b\"]}");
    cr_assert(answer("s3", 403, 0, "joint"));
    expect_log("error joint ");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s4\",\"topics\":[\"a\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s5\",\"topics\":[\"b\"]}");
    cr_assert(answer("s4", 0, 0, "") && answer("s5", 403, 0, "alone"));
    expect_log("missing error alone ");
    expect_ask(0, NULL);
    deliver("a");
    expect_log("A ");
    finish();
}

Test(client_subscriptions, a_refusal_that_names_a_time_is_tried_again_then)
{
    start();
    add("a", 0, "A");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s1\",\"topics\":[\"a\"]}");
    cr_assert(answer("s1", 503, 200, "busy"));
    expect_log("error busy ");
    cr_assert_eq(ft_subscriptions_due_ms(&subs), 1200);
    expect_ask(1199, NULL);
    expect_ask(1200, "{\"op\":\"sub\",\"id\":\"s2\",\"topics\":[\"a\"]}");
    cr_assert(answer("s2", 403, 0, "no"));
    expect_log("A refused ");
    cr_assert_eq(ft_subscriptions_due_ms(&subs), 0);
    finish();
}

Test(client_subscriptions, only_what_nobody_else_needs_is_given_up)
{
    start();
    struct fantail_subscription *a = add("x", 0, "A");
    struct fantail_subscription *b = add("x", 0, "B");
    ask_all();
    accept("s1", "");
    accept("s2", "");
    expect_log("A ok B ok ");
    struct fantail_subscription *unasked = add("y", 0, "C");
    ft_buffer_clear(&envelope);
    ft_subscriptions_remove(&subs, a, FT_JSON, &envelope);
    ft_subscriptions_remove(&subs, unasked, FT_JSON, &envelope);
    cr_assert_eq(envelope.len, 0);
    deliver("x");
    expect_log("B ");
    ft_subscriptions_remove(&subs, b, FT_JSON, &envelope);
    cr_assert(ft_slice_equal(ft_buffer_slice(&envelope),
                             ft_slice_str("{\"op\":\"unsub\",\"topics\":[\"x\"]}")));
    expect_ask(0, NULL);
    finish();
}

static struct fantail_subscription *victim;

static void remove_victim(struct fantail *f, const struct fantail_message *message, void *user)
{
    (void)f;
    (void)message;
    (void)user;
    if (victim)
        ft_subscriptions_remove(&subs, victim, FT_JSON, &envelope);
    victim = NULL;
}

Test(client_subscriptions, a_handler_may_remove_others_and_itself)
{
    static const char *const filter = "t";
    struct fantail_subscription *first;
    start();
    cr_assert_eq(ft_subscriptions_add(&subs, &filter, 1, NULL, remove_victim, NULL, &first, NULL),
                 FT_OK);
    victim = add("t", 0, "removed");
    add("#", 0, "stays");
    ask_all();
    accept("s1", "");
    accept("s2", "");
    accept("s3", "");
    expect_log("removed ok stays ok ");
    deliver("t");
    expect_log("stays ");
    victim = first;
    deliver("t");
    deliver("t");
    expect_log("stays stays ");
    finish();
}

Test(client_subscriptions, those_without_a_handler_share_the_clients)
{
    static const char *const filters[] = {"t", "+"};
    struct fantail_subscription *sub;
    start();
    for (int i = 0; i < 2; i++)
        cr_assert_eq(ft_subscriptions_add(&subs, &filters[i], 1, NULL, NULL, NULL, &sub, NULL),
                     FT_OK);
    add("t", 0, "own");
    ask_all();
    accept("s1", "");
    accept("s2", "");
    accept("s3", "");
    expect_log("own ok ");
    deliver("t");
    expect_log("own default ");
    deliver("other/t");
    expect_log("");
    finish();
}

Test(client_subscriptions, what_cannot_be_asked_for_is_refused_at_once)
{
    struct fantail_subscription *sub = NULL;
    struct ft_problem problem;
    const char *bad[] = {"good", "bad/#/x"};
    start();
    cr_assert_eq(ft_subscriptions_add(&subs, bad, 2, NULL, NULL, NULL, &sub, &problem),
                 FT_ERR_BAD_FILTER);
    cr_assert_eq(ft_subscriptions_add(&subs, bad, 0, NULL, NULL, NULL, &sub, &problem),
                 FT_ERR_BAD_FIELD);
    cr_assert_null(sub);
    expect_ask(0, NULL);
    finish();
}

Test(client_subscriptions, answers_to_nobody_are_not_taken)
{
    static const char *const ids[] = {"", "s", "s0", "s2", "x1", "s1x", "s99999999999999999999"};
    start();
    add("a", 0, "A");
    ask_all();
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        cr_assert_not(answer(ids[i], 0, 0, ""), "%s", ids[i]);
    expect_log("");
    finish();
}
