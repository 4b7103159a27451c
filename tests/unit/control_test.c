/* Orders of an operator, and the questions that carry them through the workers. */
#include "broker/hub/control.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "tests/unit/support/fake_node.h"

enum { WORKERS = 3, CLIENTS = 6 };

static struct ft_fake_node node;
static struct ft_fake_client clients[CLIENTS];

static struct ft_identity *identity_of(const char *user)
{
    return ft_identity_new(&(struct ft_identity_spec){
        .user = user ? ft_slice_str(user) : ft_slice(NULL, 0),
        .may_everything = true,
    });
}

static void start(uint32_t workers)
{
    ft_log_set_level(FT_LOG_WARN);
    ft_fake_node_init(&node, &(struct ft_journal_options){0}, &(struct ft_hub_options){0}, workers);
}

/* Opens a client of this user, on worker i modulo their number. */
static struct ft_fake_client *open_frames(uint32_t i, const char *user, enum ft_frames frames)
{
    clients[i].who = identity_of(user);
    ft_fake_client_open(&node, &clients[i], i % node.hub->worker_count, frames);
    return &clients[i];
}

static struct ft_fake_client *open_client(uint32_t i, const char *user)
{
    return open_frames(i, user, FT_FRAMES_JSON);
}

/* ---- asking, and waiting for the answer ---- */

struct answer {
    struct ft_order_outcome outcome;
    uint32_t worker; /* that answered */
    unsigned count;
};

static uint32_t turning; /* the worker whose turn it is */

static void done(struct ft_question *question)
{
    struct answer *answer = question->asker;
    answer->outcome = *ft_control_outcome(question);
    answer->worker = turning;
    answer->count++;
}

static void turns(unsigned rounds)
{
    for (unsigned i = 0; i < rounds * node.hub->worker_count; i++) {
        turning = i % node.hub->worker_count;
        ft_fake_node_begin(&node, turning);
        (void)ft_fake_node_end(&node, turning);
    }
}

/* Gives an order on a worker and returns what came of it. */
static struct ft_order_outcome carry_out(uint32_t worker, const struct ft_order *order)
{
    struct answer answer = {.worker = UINT32_MAX};
    struct ft_problem problem;
    cr_assert_eq(ft_order_check(order, &problem), FT_OK, "%s", problem.text);
    (void)ft_control(node.hub->workers[worker], order, done, &answer);
    cr_assert_eq(answer.count, 0, "never from within");
    turns(2);
    cr_assert_eq(answer.count, 1);
    cr_assert_eq(answer.worker, worker, "it comes back to who asked");
    return answer.outcome;
}

static struct ft_order_outcome disconnect_user(uint32_t worker, const char *user)
{
    return carry_out(worker,
                     &(struct ft_order){.kind = FT_ORDER_DISCONNECT, .user = ft_slice_str(user)});
}

static struct ft_slice id_of(const struct ft_fake_client *client)
{
    return ft_slice(client->session.id, FT_SESSION_ID_LEN);
}

/* ---- disconnecting ---- */

Test(control, all_sessions_of_a_user_are_ended_on_every_worker_and_no_others)
{
    start(WORKERS);
    for (uint32_t i = 0; i < CLIENTS; i++)
        open_client(i, i < 4 ? "alice" : "alice2");
    cr_assert_eq(disconnect_user(1, "alice").sessions, 4);
    for (uint32_t i = 0; i < CLIENTS; i++)
        cr_expect_str_eq(ft_fake_client_told(&clients[i]), i < 4 ? "close(4403)" : "", "%u", i);
    ft_fake_node_fini(&node);
}

Test(control, one_session_is_ended_by_its_id)
{
    start(WORKERS);
    for (uint32_t i = 0; i < CLIENTS; i++)
        open_client(i, "alice");
    struct ft_order order = {.kind = FT_ORDER_DISCONNECT, .session = id_of(&clients[4])};
    cr_assert_eq(carry_out(0, &order).sessions, 1);
    for (uint32_t i = 0; i < CLIENTS; i++)
        cr_expect_str_eq(ft_fake_client_told(&clients[i]), i == 4 ? "close(4403)" : "", "%u", i);
    cr_expect_eq(carry_out(0, &order).sessions, 0, "it is gone already");
    order.session.len--;
    cr_expect_eq(carry_out(0, &order).sessions, 0, "a part of an id is no id");
    ft_fake_node_fini(&node);
}

Test(control, who_has_no_name_is_not_the_user_with_an_empty_one)
{
    start(2);
    open_client(0, NULL);
    open_client(1, "");
    cr_expect_eq(disconnect_user(0, "").sessions, 1);
    cr_expect_str_eq(ft_fake_client_told(&clients[0]), "");
    cr_expect_str_eq(ft_fake_client_told(&clients[1]), "close(4403)");
    cr_expect_eq(disconnect_user(0, "nobody").sessions, 0);
    ft_fake_node_fini(&node);
}

Test(control, what_was_accepted_before_comes_before_the_close_frame)
{
    start(2);
    struct ft_fake_client *reader = open_client(1, "alice"), *writer = open_client(0, "bob");
    ft_fake_client_say(reader, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    ft_fake_client_say(writer, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}");
    cr_assert_eq(disconnect_user(0, "alice").sessions, 1);
    cr_expect_str_eq(ft_fake_client_told(reader), "a=1@1 close(4403)");
    ft_fake_node_fini(&node);
}

Test(control, a_session_that_ends_already_is_not_counted)
{
    start(1);
    struct ft_fake_client *alice = open_client(0, "alice");
    ft_fake_node_begin(&node, 0);
    ft_session_end(&alice->session, 1001, "");
    cr_assert_eq(disconnect_user(0, "alice").sessions, 0);
    cr_expect_str_eq(ft_fake_client_told(alice), "close(1001)");
    ft_fake_node_fini(&node);
}

Test(control, an_event_stream_ends_with_bye)
{
    start(2);
    struct ft_fake_client *stream = open_frames(0, "alice", FT_FRAMES_EVENTS);
    cr_assert_eq(disconnect_user(1, "alice").sessions, 1);
    cr_expect_not_null(strstr(ft_fake_client_sent(stream), "event: bye\n"));
    cr_expect_not_null(strstr(ft_fake_client_sent(stream), "4403"));
    cr_expect(stream->is_finished);
    ft_fake_node_fini(&node);
}

/* ---- unsubscribing ---- */

static struct ft_order_outcome unsubscribe(const char *user, const char *const *filters,
                                           uint32_t count)
{
    struct ft_slice slices[8];
    for (uint32_t i = 0; i < count; i++)
        slices[i] = ft_slice_str(filters[i]);
    return carry_out(0, &(struct ft_order){.kind = FT_ORDER_UNSUBSCRIBE,
                                           .user = ft_slice_str(user),
                                           .filters = slices,
                                           .filter_count = count});
}

Test(control, exactly_the_named_subscriptions_end_and_the_session_is_told_which)
{
    start(2);
    struct ft_fake_client *alice = open_client(0, "alice"), *phone = open_client(1, "alice");
    struct ft_fake_client *bob = open_client(2, "bob");
    ft_fake_client_say(alice, "{\"op\":\"sub\",\"topics\":[\"a\",\"a/+\",\"b/#\",\"c\"]}");
    ft_fake_client_say(phone, "{\"op\":\"sub\",\"topics\":[\"c\"]}");
    ft_fake_client_say(bob, "{\"op\":\"sub\",\"topics\":[\"a/+\",\"c\"]}");
    static const char *const filters[] = {"a/+", "c", "a/+", "#", "d"};
    struct ft_order_outcome outcome = unsubscribe("alice", filters, 5);
    cr_expect_eq(outcome.sessions, 2);
    cr_expect_eq(outcome.subscriptions, 3);
    cr_expect_str_eq(ft_fake_client_sent(alice),
                     "{\"op\":\"error\",\"code\":403,\"message\":\"unsubscribed by the operator\","
                     "\"unsubscribed\":[\"a/+\",\"c\"]}\n");
    cr_expect_str_eq(ft_fake_client_sent(phone),
                     "{\"op\":\"error\",\"code\":403,\"message\":\"unsubscribed by the operator\","
                     "\"unsubscribed\":[\"c\"]}\n");
    cr_expect_str_eq(ft_fake_client_told(bob), "");
    ft_fake_client_forget(alice);
    ft_fake_client_forget(phone);

    ft_fake_client_say(bob, "[{\"op\":\"pub\",\"topic\":\"a\",\"data\":1},"
                            "{\"op\":\"pub\",\"topic\":\"a/b\",\"data\":2},"
                            "{\"op\":\"pub\",\"topic\":\"b/c\",\"data\":3},"
                            "{\"op\":\"pub\",\"topic\":\"c\",\"data\":4}]");
    ft_fake_node_settle(&node);
    cr_expect_str_eq(ft_fake_client_told(alice), "a=1@1 b/c=3@3", "what is left goes on");
    cr_expect_str_eq(ft_fake_client_told(phone), "");
    cr_expect_str_eq(ft_fake_client_told(bob), "a/b=2@2 c=4@4");
    ft_fake_node_fini(&node);
}

Test(control, what_was_accepted_before_comes_before_the_subscription_ends)
{
    start(1);
    struct ft_fake_client *alice = open_client(0, "alice"), *slow = open_client(1, "alice");
    ft_fake_client_say(alice, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    ft_fake_client_say(slow, "{\"op\":\"sub\",\"topics\":[\"a\"],\"every\":60000}");
    ft_fake_client_say(alice, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}");
    static const char *const filters[] = {"a"};
    ft_fake_node_begin(&node, 0);
    for (int i = 0; i < 2; i++)
        ft_fake_client_receive(alice, ft_slice_str("{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}"));
    cr_assert_eq(unsubscribe("alice", filters, 1).sessions, 2);
    cr_expect_str_eq(ft_fake_client_told(alice), "a=1@1 a=1@2 a=1@3 error(403)");
    cr_expect_str_eq(ft_fake_client_told(slow), "a=1@1 a=1@3 error(403)");
    ft_fake_node_fini(&node);
}

Test(control, who_has_none_of_the_filters_is_told_nothing)
{
    start(1);
    struct ft_fake_client *alice = open_client(0, "alice");
    ft_fake_client_say(alice, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    static const char *const filters[] = {"b", "a/#"};
    cr_expect_eq(unsubscribe("alice", filters, 2).sessions, 0);
    cr_expect_str_eq(ft_fake_client_told(alice), "");
    ft_fake_node_fini(&node);
}

/* ---- what can be ordered ---- */

static void refused(const struct ft_order *order, enum ft_err err, const char *text)
{
    struct ft_problem problem = {0};
    cr_expect_eq(ft_order_check(order, &problem), err);
    cr_expect_str_eq(problem.text, text);
}

Test(control, an_order_says_to_whom_and_names_valid_filters)
{
    struct ft_slice bad[] = {ft_slice_str("a"), ft_slice_str("a/#/b")};
    struct ft_slice name = ft_slice_str("alice");
    static struct ft_slice many[FT_ORDER_FILTERS_MAX + 1];
    const char *whom = "give either user or session: whose sessions, or the id of one";
    refused(&(struct ft_order){0}, FT_ERR_BAD_FIELD, whom);
    refused(&(struct ft_order){.user = name, .session = name}, FT_ERR_BAD_FIELD, whom);
    refused(&(struct ft_order){.kind = FT_ORDER_UNSUBSCRIBE, .user = name}, FT_ERR_BAD_FIELD,
            "topics is missing: an array of the filters to unsubscribe");
    refused(
        &(struct ft_order){
            .kind = FT_ORDER_UNSUBSCRIBE, .user = name, .filters = bad, .filter_count = 2},
        FT_ERR_BAD_FILTER, "filter \"a/#/b\" has '#' before its last level");
    refused(&(struct ft_order){.kind = FT_ORDER_UNSUBSCRIBE,
                               .user = name,
                               .filters = many,
                               .filter_count = FT_ORDER_FILTERS_MAX + 1},
            FT_ERR_BAD_FIELD, "topics has 1025 filters, but 1024 at most are taken");
}

/* The one who gives an order may forget it at once. */
Test(control, an_order_is_copied)
{
    start(2);
    open_client(1, "alice");
    ft_fake_client_say(&clients[1], "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    char user[] = "alice", filter[] = "a";
    struct ft_slice filters[] = {ft_slice_str(filter)};
    struct ft_order order = {
        .kind = FT_ORDER_UNSUBSCRIBE,
        .user = ft_slice_str(user),
        .filters = filters,
        .filter_count = 1,
    };
    struct answer answer = {0};
    (void)ft_control(node.hub->workers[0], &order, done, &answer);
    memset(user, 'x', sizeof(user));
    memset(filter, 'x', sizeof(filter));
    memset(filters, 0, sizeof(filters));
    turns(2);
    cr_expect_eq(answer.outcome.sessions, 1);
    ft_fake_node_fini(&node);
}

/* ---- questions ---- */

struct poll {
    struct ft_question question;
    uint32_t order[WORKERS + 1], visits, dones, frees, again;
    uint64_t sessions;
};

static void poll_visit(struct ft_question *question, struct ft_worker *worker)
{
    struct poll *poll = (struct poll *)question;
    poll->order[poll->visits++] = worker->index;
    poll->sessions += worker->sessions.count;
}

static void poll_done(struct ft_question *question)
{
    struct poll *poll = (struct poll *)question;
    poll->dones++;
    poll->sessions += 100; /* all visits were before */
}

static void poll_free(struct ft_question *question)
{
    struct poll *poll = (struct poll *)question;
    cr_assert_eq(poll->dones + question->is_abandoned_, 1);
    poll->frees++;
}

static const struct ft_question poll_question = {
    .visit = poll_visit, .done = poll_done, .free = poll_free};

Test(control, a_question_visits_every_worker_once_and_ends_where_it_was_asked)
{
    start(WORKERS);
    for (uint32_t i = 0; i < CLIENTS; i++)
        open_client(i, "alice");
    struct poll poll = {.question = poll_question};
    node.wakes = 0;
    ft_question_ask(&poll.question, node.hub->workers[1]);
    cr_expect_eq(node.wakes, 1, "the next worker may be asleep");
    turns(2);
    cr_expect_eq(poll.visits, WORKERS);
    cr_expect_eq(poll.order[0], 2);
    cr_expect_eq(poll.order[1], 0);
    cr_expect_eq(poll.order[2], 1);
    cr_expect_eq(poll.sessions, CLIENTS + 100);
    cr_expect_eq(poll.frees, 1);
    ft_fake_node_fini(&node);
}

Test(control, with_one_worker_the_answer_comes_in_its_next_turn)
{
    start(1);
    struct poll poll = {.question = poll_question};
    ft_question_ask(&poll.question, node.hub->workers[0]);
    cr_expect_eq(poll.visits, 0);
    cr_expect_eq(node.wakes, 1);
    turns(1);
    cr_expect_eq(poll.dones, 1);
    cr_expect_eq(poll.frees, 1);
    turns(1);
    cr_expect_eq(poll.visits, 1);
    ft_fake_node_fini(&node);
}

Test(control, an_abandoned_question_is_answered_to_nobody)
{
    start(2);
    struct poll poll = {.question = poll_question};
    ft_question_ask(&poll.question, node.hub->workers[0]);
    ft_question_abandon(&poll.question);
    turns(2);
    cr_expect_eq(poll.visits, 2, "what it does is done all the same");
    cr_expect_eq(poll.dones, 0);
    cr_expect_eq(poll.frees, 1);
    ft_fake_node_fini(&node);
}

Test(control, many_questions_are_answered_in_their_order)
{
    enum { POLLS = 50 };
    start(WORKERS);
    static struct poll polls[POLLS];
    for (int i = 0; i < POLLS; i++) {
        polls[i].question = poll_question;
        ft_question_ask(&polls[i].question, node.hub->workers[(unsigned)i % WORKERS]);
    }
    turns(2);
    for (int i = 0; i < POLLS; i++) {
        cr_expect_eq(polls[i].visits, WORKERS, "%d", i);
        cr_expect_eq(polls[i].frees, 1, "%d", i);
    }
    ft_fake_node_fini(&node);
}

static void free_on_heap(struct ft_question *question)
{
    free(question);
}

Test(control, what_is_still_on_its_way_as_the_hub_goes_is_freed)
{
    start(2);
    for (int i = 0; i < 3; i++) {
        struct ft_question *question = ft_alloc_zero(sizeof(struct poll));
        question->visit = poll_visit;
        question->done = poll_done;
        question->free = free_on_heap;
        ft_question_ask(question, node.hub->workers[i % 2]);
    }
    ft_fake_node_fini(&node); /* the sanitizer would find what is left */
}
