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

static void on_resume(struct fantail *f, bool is_recovered)
{
    (void)f;
    note(is_recovered ? "recovered" : "missing");
}

static void start(void)
{
    ft_subscriptions_init(&subs, NULL, on_resume);
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

static bool answer_with(const char *id, const struct fantail_result *result, const char *pos)
{
    struct ft_positions starts;
    ft_positions_init(&starts);
    ft_positions_see(&starts, ft_slice_str(pos));
    bool is_known =
        ft_subscriptions_answer(&subs, ft_slice_str(id), result, &starts, 1000, on_error);
    ft_positions_fini(&starts);
    return is_known;
}

static bool answer(const char *id, int code, uint32_t retry_ms, const char *message)
{
    struct fantail_result result = {.code = code, .message = message, .retry_ms = retry_ms};
    return answer_with(id, &result, "");
}

/* The broker's `ok` of a `sub` with `since`, whose feed starts behind `pos`. */
static void resume(const char *id, bool is_recovered, const char *pos)
{
    struct fantail_result result = {.message = "", .recovered = is_recovered};
    cr_assert(answer_with(id, &result, pos), "%s", id);
}

/* The same without. */
static void accept(const char *id, const char *pos)
{
    resume(id, false, pos);
}

static struct fantail_bytes bytes(const char *text)
{
    return (struct fantail_bytes){.ptr = text, .len = strlen(text)};
}

static void deliver_at(const char *topic, const char *pos, bool is_retained)
{
    struct fantail_message message = {
        .topic = bytes(topic),
        .pos = bytes(pos),
        .retained = is_retained,
    };
    ft_subscriptions_deliver(&subs, &message, on_message, (void *)(uintptr_t) "default");
}

static void deliver(const char *topic)
{
    deliver_at(topic, "", false);
}

/* Delivers a publication and expects who gets it. */
static void expect_delivery(const char *topic, const char *pos, const char *text)
{
    deliver_at(topic, pos, false);
    expect_log(text);
}

static void expect_position(const struct fantail_subscription *sub, const char *text)
{
    char out[FT_POSITION_BYTES_MAX] = "";
    cr_assert_eq(ft_subscription_position_count(sub), *text ? 1 : 0);
    ft_subscription_position(sub, 0, out, sizeof(out));
    cr_assert_str_eq(out, text);
}

/* Asks for everything that waits, and forgets how. */
static void ask_all(void)
{
    do
        ft_buffer_clear(&envelope);
    while (ft_subscriptions_ask(&subs, 0, 1000, FT_JSON, &envelope));
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

Test(client_subscriptions, all_resume_in_one_request_from_where_they_were)
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

Test(client_subscriptions, positions_are_those_of_deliveries_not_of_later_answers)
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

Test(client_subscriptions, what_started_at_different_times_still_has_each_publication_once)
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

Test(client_subscriptions, requests_that_part_do_not_move_each_other_on)
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

Test(client_subscriptions, what_is_missing_is_told_at_once_and_the_new_stream_is_followed)
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

Test(client_subscriptions, what_was_never_answered_starts_live_behind_what_resumes)
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

Test(client_subscriptions, nothing_is_delivered_before_the_answer)
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

Test(client_subscriptions, those_that_begin_at_the_same_position_are_asked_for_together)
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

Test(client_subscriptions, a_since_that_is_no_position_is_refused_at_once)
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

Test(client_subscriptions, the_past_is_asked_for_once_and_not_taken_for_old)
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

Test(client_subscriptions, retained_values_are_given_whatever_their_position)
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

Test(client_subscriptions, what_runs_ahead_does_not_move_on_what_is_held_back)
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

Test(client_subscriptions, what_the_broker_has_ended_is_left_out)
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
