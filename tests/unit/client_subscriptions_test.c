/* Subscriptions against a broker that is played by hand: what is asked, and what answers do. */
#include <criterion/criterion.h>

#include "clients/c/subscriptions.h"

static struct ft_subscriptions subs;
static struct ft_buffer envelope;
static char log_text[512];

static void note(const char *word)
{
    strncat(log_text, word, sizeof(log_text) - strlen(log_text) - 1);
    strncat(log_text, " ", sizeof(log_text) - strlen(log_text) - 1);
}

static void expect_log(const char *text)
{
    cr_assert_str_eq(log_text, text);
    log_text[0] = '\0';
}

static void on_result(struct fantail *f, const struct fantail_result *result, void *user)
{
    (void)f;
    note(user);
    note(result->code ? "refused" : "ok");
}

static void on_error(struct fantail *f, const struct fantail_result *result)
{
    (void)f;
    note("error");
    note(result->message);
}

static void on_message(struct fantail *f, const struct fantail_message *message, void *user)
{
    (void)f;
    (void)message;
    note(user);
}

static void start(void)
{
    ft_subscriptions_init(&subs, NULL);
    ft_buffer_init(&envelope, 1 << 20);
}

static void finish(void)
{
    ft_subscriptions_fini(&subs);
    ft_buffer_fini(&envelope);
}

static struct fantail_subscription *add(const char *filter, uint32_t every_ms, const char *name)
{
    struct fantail_subscription *sub = NULL;
    struct fantail_subscribe_options options = {.every_ms = every_ms, .on_result = on_result};
    cr_assert_eq(ft_subscriptions_add(&subs, &filter, 1, &options, on_message,
                                      (void *)(uintptr_t)name, &sub, NULL),
                 FT_OK);
    return sub;
}

/* The next envelope that is due at `now_ms` is `text`; NULL: there is none. */
static void expect_ask(uint64_t now_ms, const char *text)
{
    ft_buffer_clear(&envelope);
    bool is_asked = ft_subscriptions_ask(&subs, now_ms, 60, FT_JSON, &envelope);
    cr_assert_eq(is_asked, text != NULL, "%.*s", (int)envelope.len, (const char *)envelope.ptr);
    if (text)
        cr_assert(ft_slice_equal(ft_buffer_slice(&envelope), ft_slice_str(text)),
                  "%.*s instead of %s", (int)envelope.len, (const char *)envelope.ptr, text);
}

static bool answer(const char *id, int code, uint32_t retry_ms, const char *message)
{
    struct fantail_result result = {.code = code, .message = message, .retry_ms = retry_ms};
    return ft_subscriptions_answer(&subs, ft_slice_str(id), &result, 1000, on_error);
}

static void deliver(const char *topic)
{
    struct fantail_message message = {.topic = {.ptr = topic, .len = strlen(topic)}};
    ft_subscriptions_deliver(&subs, &message, on_message, (void *)(uintptr_t) "default");
}

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
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s6\",\"every\":9,\"topics\":[\"b\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s7\",\"topics\":[\"0123456789012345678901234567\"]}");
    expect_ask(0, NULL);
    cr_assert(answer("s5", 0, 0, "") && answer("s6", 0, 0, "") && answer("s7", 0, 0, ""));
    expect_log("");
    finish();
}

Test(client_subscriptions, one_bad_filter_does_not_take_its_neighbours_along)
{
    start();
    add("a", 0, "A");
    add("b", 0, "B");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s1\",\"topics\":[\"a\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s2\",\"topics\":[\"b\"]}");
    cr_assert(answer("s1", 0, 0, "") && answer("s2", 0, 0, ""));
    expect_log("A ok B ok ");
    ft_subscriptions_break(&subs);
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s3\",\"topics\":[\"a\",\"b\"]}");
    cr_assert(answer("s3", 403, 0, "joint"));
    expect_log("error joint ");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s4\",\"topics\":[\"a\"]}");
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s5\",\"topics\":[\"b\"]}");
    cr_assert(answer("s4", 0, 0, "") && answer("s5", 403, 0, "alone"));
    expect_log("error alone ");
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
    struct fantail_subscription *unasked = add("y", 0, "C");
    ft_buffer_clear(&envelope);
    cr_assert(ft_subscriptions_ask(&subs, 0, 60, FT_JSON, &envelope));
    cr_assert(ft_subscriptions_ask(&subs, 0, 60, FT_JSON, &envelope));
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
    expect_ask(0, "{\"op\":\"sub\",\"id\":\"s1\",\"topics\":[\"a\"]}");
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        cr_assert_not(answer(ids[i], 0, 0, ""), "%s", ids[i]);
    expect_log("");
    finish();
}
