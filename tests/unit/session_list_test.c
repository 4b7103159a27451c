/* Who is connected: what is told of a session, in which order, and what other nodes and for other nodes is told. */
#include "broker/hub/session_list.h"

#include "broker/hub/relay.h"
#include "broker/hub/worker.h"
#include "protocol/msgpack_out.h"
#include "tests/unit/support/fake_node.h"
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { WORKERS = 3, CLIENTS = 12 };

static struct ft_fake_node node;
static struct ft_fake_relay relay;
static struct ft_fake_client clients[CLIENTS];
static struct ft_buffer told;
static unsigned answers;
static struct ft_problem problem;

static void open_client(unsigned i, const char *user, enum ft_frames frames)
{
    clients[i].who = ft_identity_new(&(struct ft_identity_spec){
        .user = user ? ft_slice_str(user) : ft_slice(NULL, 0), .may_everything = true});
    ft_fake_client_open(&node, &clients[i], i % WORKERS, frames);
}

/* Twelve sessions, a second after each other; of every third nobody knows the user, ann has eight. */
static void begin(bool is_cluster)
{
    ft_buffer_init(&told, 1 << 20);
    if (is_cluster) {
        ft_fake_relay_init(&relay, &(struct ft_partitions){.count = 4, .hash_levels = 2});
        ft_fake_node_init_cluster(&node, &(struct ft_journal_options){0},
                                  &(struct ft_hub_options){0}, WORKERS, &relay);
    } else {
        ft_fake_node_init(&node, &(struct ft_journal_options){0}, &(struct ft_hub_options){0},
                          WORKERS);
    }
    node.hub->started_ms = node.wall_ms;
    for (unsigned i = 0; i < CLIENTS; i++) {
        node.wall_ms += 1000;
        open_client(i, i % 3 == 0 ? NULL : "ann", i % 2 ? FT_FRAMES_MSGPACK : FT_FRAMES_JSON);
    }
}

static void end(bool is_cluster)
{
    ft_fake_node_fini(&node);
    if (is_cluster)
        ft_fake_relay_fini(&relay);
    ft_buffer_fini(&told);
}

/* What goes from worker to worker comes round within as many turns as there are. */
static void settle(void)
{
    for (int i = 0; i <= WORKERS; i++)
        ft_fake_node_settle(&node);
}

static void on_done(struct ft_question *question)
{
    struct ft_writer w;
    cr_assert_eq(question->asker, &answers);
    answers++;
    ft_buffer_clear(&told);
    if (ft_session_list_refused(question, &problem) != FT_OK)
        return;
    ft_writer_init(&w, FT_JSON, &told);
    ft_session_list_tell(question, &w);
    ft_buffer_add_byte(&told, '\0');
    cr_assert_not(told.failed);
}

static struct ft_question *begin_asking(const struct ft_session_query *query)
{
    struct ft_worker *worker = ft_fake_node_begin(&node, 1);
    struct ft_question *question = ft_session_list(worker, query, on_done, &answers);
    (void)ft_fake_node_end(&node, 1);
    settle();
    return question;
}

static const char *ask(const struct ft_session_query *query)
{
    unsigned before = answers;
    begin_asking(query);
    cr_assert_eq(answers, before + 1);
    return (const char *)told.ptr;
}

/* Says which clients are listed, as "11 10 9". */
static const char *who(void)
{
    static char list[256];
    size_t n = 0;
    list[0] = '\0';
    for (const char *at = (const char *)told.ptr; (at = strstr(at, "\"session\":\"")); at++) {
        for (unsigned i = 0; i < CLIENTS; i++) {
            if (memcmp(at + 11, clients[i].session.id, FT_SESSION_ID_LEN) == 0)
                n += (size_t)snprintf(list + n, sizeof(list) - n, n ? " %u" : "%u", i);
        }
    }
    return list;
}

static const char *rest(void)
{
    return strstr((const char *)told.ptr, "],\"total\":") + 2;
}

static struct ft_slice id_of(unsigned i)
{
    return ft_slice(clients[i].session.id, FT_SESSION_ID_LEN);
}

/* ---- this node ---- */

Test(session_list, tells_what_is_known_of_a_session)
{
    char expected[512];
    begin(false);
    for (int i = 0; i < 7; i++) {
        char sub[64];
        snprintf(sub, sizeof(sub), "{\"op\":\"sub\",\"topics\":[\"a/%d/+\"]}", i);
        ft_fake_client_say(&clients[4], sub);
    }
    ask(&(struct ft_session_query){.limit = 10, .session = id_of(4)});
    snprintf(expected, sizeof(expected),
             "{\"sessions\":[{\"session\":\"%.16s\",\"node\":\"n1\",\"user\":\"ann\",\"address\":"
             "\"192.0.2.7\",\"encoding\":\"json\",\"since\":%llu,\"subscriptions\":7,\"topics\":["
             "\"a/6/+\",\"a/5/+\",\"a/4/+\",\"a/3/+\",\"a/2/+\"],\"outbox_bytes\":0,\"parked\":"
             "false,\"stalled\":false}],\"total\":1,\"more\":false,\"nodes\":1,\"missing\":[]}",
             clients[4].session.id, (unsigned long long)node.hub->started_ms + 5000);
    cr_assert_str_eq((const char *)told.ptr, expected);
    end(false);
}

Test(session_list, the_latest_come_first_and_the_rest_are_counted)
{
    begin(false);
    ask(&(struct ft_session_query){.limit = 100});
    cr_assert_str_eq(who(), "11 10 9 8 7 6 5 4 3 2 1 0");
    ask(&(struct ft_session_query){.limit = 4});
    cr_assert_str_eq(who(), "11 10 9 8");
    cr_assert_str_eq(rest(), "\"total\":12,\"more\":true,\"nodes\":1,\"missing\":[]}");
    ask(&(struct ft_session_query){.limit = 3, .user = ft_slice_str("ann")});
    cr_assert_str_eq(who(), "11 10 8");
    cr_assert_str_eq(rest(), "\"total\":8,\"more\":true,\"nodes\":1,\"missing\":[]}");
    end(false);
}

Test(session_list, all_that_is_asked_for_has_to_be_true)
{
    begin(false);
    ask(&(struct ft_session_query){
        .limit = 9, .session = id_of(5), .user = ft_slice_str("ann"), .node = ft_slice_str("n1")});
    cr_assert_str_eq(who(), "5");
    ask(&(struct ft_session_query){.limit = 9, .session = id_of(6), .user = ft_slice_str("ann")});
    cr_assert_str_eq(who(), "");
    ask(&(struct ft_session_query){.limit = 9, .user = ft_slice_str("")});
    cr_assert_str_eq(who(), "", "that is not nobody in particular");
    end(false);
}

Test(session_list, who_is_about_to_be_closed_is_not_told)
{
    begin(false);
    ft_fake_node_begin(&node, 10 % WORKERS);
    ft_session_end(&clients[10].session, 4403, "");
    (void)ft_fake_node_end(&node, 10 % WORKERS);
    ask(&(struct ft_session_query){.limit = 3});
    cr_assert_str_eq(who(), "11 9 8");
    ask(&(struct ft_session_query){.limit = 9, .session = id_of(10)});
    cr_assert_str_eq(who(), "");
    ask(&(struct ft_session_query){.limit = 9, .user = ft_slice_str("ann")});
    cr_assert_str_eq(who(), "11 8 7 5 4 2 1");
    end(false);
}

Test(session_list, a_node_on_its_own_has_one_name)
{
    begin(false);
    begin_asking(&(struct ft_session_query){.limit = 9, .node = ft_slice_str("n2")});
    cr_assert_eq(answers, 1);
    cr_assert_eq(problem.err, FT_ERR_NOT_FOUND);
    end(false);
}

Test(session_list, who_asks_may_go)
{
    begin(false);
    struct ft_worker *worker = ft_fake_node_begin(&node, 1);
    ft_question_abandon(
        ft_session_list(worker, &(struct ft_session_query){.limit = 9}, on_done, &answers));
    (void)ft_fake_node_end(&node, 1);
    settle();
    cr_assert_eq(answers, 0);
    end(false);
}

/* ---- other nodes ---- */

static void add_foreign(struct ft_buffer *out, const char *id, uint64_t since_ms)
{
    struct ft_session_info info = {
        .session = ft_slice_str(id),
        .node = ft_slice_str("n2"),
        .since_ms = since_ms,
        .frames = FT_FRAMES_EVENTS,
        .is_parked = true,
        .is_stalled = true,
        .outbox_bytes = 70000,
    };
    ft_session_info_write(&info, out);
}

Test(session_list, sessions_of_all_nodes_are_in_one_order)
{
    begin(true);
    begin_asking(&(struct ft_session_query){.limit = 4, .user = ft_slice_str("ann")});
    cr_assert_eq(answers, 0, "others are waited for");
    struct ft_relay_ask *question = ft_fake_relay_asked(&relay);
    struct ft_session_query query;
    cr_assert_eq(question->kind, FT_ASK_SESSIONS);
    cr_assert(ft_session_query_read(ft_buffer_slice(&question->body), &query));
    cr_assert_eq(query.limit, 4);
    cr_assert(ft_slice_equal(query.user, ft_slice_str("ann")) && !query.session.ptr);
    uint64_t began = node.hub->started_ms;
    add_foreign(&question->answer, "ffffffffffffffff", began + 11500);
    add_foreign(&question->answer, "gggggggggggggggg", began + 99000);
    add_foreign(&question->answer, "hhhhhhhhhhhhhhhh", began);
    question->count = 70;
    question->outcome.nodes = 2;
    ft_fake_relay_answer(&node, question);
    settle();
    cr_assert_eq(answers, 1);
    const char *text = (const char *)told.ptr, *g = strstr(text, "gggg"), *f = strstr(text, "ffff");
    cr_assert(g && f && g < f && !strstr(text, "hhhh"));
    cr_assert_str_eq(who(), "11 10");
    cr_assert(strstr(text, "{\"session\":\"gggggggggggggggg\",\"node\":\"n2\",\"user\":null,"
                           "\"address\":null,\"encoding\":\"events\",\"since\":"));
    cr_assert(strstr(text, "\"outbox_bytes\":70000,\"parked\":true,\"stalled\":true}"));
    cr_assert_str_eq(rest(), "\"total\":78,\"more\":true,\"nodes\":3,\"missing\":[]}");
    end(true);
}

Test(session_list, who_has_not_answered_is_named_and_the_others_are_told)
{
    begin(true);
    begin_asking(&(struct ft_session_query){.limit = 1});
    struct ft_relay_ask *question = ft_fake_relay_asked(&relay);
    (void)ft_problem_set(&question->problem, FT_ERR_TIMEOUT, "2 nodes have not answered");
    ft_msgpack_out_str(&question->missing, ft_slice_str("n\"3"));
    ft_msgpack_out_str(&question->missing, ft_slice_str("n4"));
    question->missing_count = 2;
    ft_fake_relay_answer(&node, question);
    settle();
    cr_assert_str_eq(who(), "11");
    cr_assert_str_eq(rest(),
                     "\"total\":12,\"more\":true,\"nodes\":1,\"missing\":[\"n\\\"3\",\"n4\"],"
                     "\"problem\":\"2 nodes have not answered\"}");
    end(true);
}

Test(session_list, this_node_alone_needs_no_other)
{
    begin(true);
    ask(&(struct ft_session_query){.limit = 1, .node = ft_slice_str("n1")});
    cr_assert_str_eq(who(), "11");
    cr_assert_null(ft_fake_relay_asked(&relay));
    begin_asking(&(struct ft_session_query){.limit = 1, .node = ft_slice_str("n2")});
    struct ft_relay_ask *question = ft_fake_relay_asked(&relay);
    (void)ft_problem_set(&question->problem, FT_ERR_NOT_FOUND, "no such node");
    ft_fake_relay_answer(&node, question);
    settle();
    cr_assert_eq(answers, 2);
    cr_assert_eq(problem.err, FT_ERR_NOT_FOUND);
    end(true);
}

Test(session_list, a_question_that_nobody_answers_any_more_is_freed)
{
    begin(true);
    begin_asking(&(struct ft_session_query){.limit = 1});
    cr_assert_eq(answers, 0);
    end(true);
}

/* ---- for other nodes ---- */

static struct ft_relay_ask *ask_foreign(const struct ft_session_query *query)
{
    struct ft_relay_ask *ask = ft_relay_ask_new(0, FT_ASK_TOLD, NULL);
    ft_session_query_write(query, &ask->body);
    ft_session_list_foreign(node.hub, ask);
    settle();
    struct ft_relay_ask *back = ft_fake_relay_asked(&relay);
    cr_assert_eq(back, ask);
    cr_assert(ft_session_infos_are_sound(ft_buffer_slice(&ask->body)));
    return ask;
}

static uint64_t count_told(const struct ft_relay_ask *ask)
{
    struct ft_slice body = ft_buffer_slice(&ask->body);
    cr_assert_eq(body.ptr[0] & 0xf0, 0x90, "an array of up to fifteen");
    return body.ptr[0] & 0x0f;
}

Test(session_list, another_node_is_told_of_the_latest_here)
{
    begin(true);
    struct ft_relay_ask *ask =
        ask_foreign(&(struct ft_session_query){.limit = 5, .user = ft_slice_str("ann")});
    cr_assert_eq(count_told(ask), 5);
    cr_assert_eq(ask->count, 8);
    struct ft_scan scan = ft_scan_of(ft_slice(ask->body.ptr + 1, ask->body.len - 1));
    static const unsigned expected[] = {11, 10, 8, 7, 5};
    for (int i = 0; i < 5; i++) {
        struct ft_session_info info;
        cr_assert(ft_session_info_read(&scan, &info));
        cr_assert(ft_slice_equal(info.session, id_of(expected[i])));
    }
    ft_relay_ask_free(ask);
    ask = ask_foreign(&(struct ft_session_query){.limit = 5, .node = ft_slice_str("n2")});
    cr_assert_eq(count_told(ask), 0);
    cr_assert_eq(ask->count, 0);
    ft_relay_ask_free(ask);
    end(true);
}

Test(session_list, what_is_told_to_another_node_is_bounded_in_bytes)
{
    enum { MANY = 400 };
    static struct ft_fake_client many[MANY];
    static char user[256];
    memset(user, 'u', 255);
    begin(true);
    relay.is_away = true; /* so that nobody waits for partitions */
    for (int i = 0; i < MANY; i++) {
        many[i].who = ft_identity_new(
            &(struct ft_identity_spec){.user = ft_slice_str(user), .may_everything = true});
        ft_fake_client_open(&node, &many[i], (uint32_t)i % WORKERS, FT_FRAMES_JSON);
        for (int k = 0; k < FT_SESSION_TOPICS_TOLD; k++) {
            char sub[512];
            snprintf(sub, sizeof(sub), "{\"op\":\"sub\",\"topics\":[\"%0250d\"]}", k);
            ft_fake_client_say(&many[i], sub);
        }
    }
    struct ft_relay_ask *ask = ask_foreign(&(struct ft_session_query){.limit = 1000});
    cr_assert_eq(ask->count, MANY + CLIENTS);
    cr_assert_leq(ask->body.len, FT_SESSION_LIST_BYTES_MAX + 5);
    cr_assert_gt(ask->body.len, FT_SESSION_LIST_BYTES_MAX - 2000, "%zu", ask->body.len);
    ft_relay_ask_free(ask);
    end(true);
}

Test(session_list, a_query_that_is_damaged_is_not_answered)
{
    begin(true);
    struct ft_relay_ask *ask = ft_relay_ask_new(0, FT_ASK_TOLD, NULL);
    ft_buffer_add_str(&ask->body, "x");
    ft_session_list_foreign(node.hub, ask);
    settle();
    cr_assert_null(ft_fake_relay_asked(&relay));
    end(true);
}
