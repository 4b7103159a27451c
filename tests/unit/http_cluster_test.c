/* The HTTP API of a node of a cluster: what the relay has to say first. */
#include "protocol/msgpack_out.h"
#include "tests/unit/support/fake_http.h"
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct ft_fake_node node;
static struct ft_fake_relay relay;
static struct ft_fake_http http;

static void begin(void)
{
    ft_fake_relay_init(&relay, &(struct ft_partitions){.count = 4, .hash_levels = 2});
    ft_fake_http_init_cluster(&node, &(struct ft_http_options){0}, 2, &relay);
    ft_fake_http_open(&node, &http, 0);
}

static void end(void)
{
    ft_fake_http_close(&http);
    ft_fake_node_fini(&node);
    ft_fake_relay_fini(&relay);
}

static const char *ask(const char *line, const char *fields, const char *body)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n%s\r\n%s", line,
             strlen(body), fields, body);
    ft_fake_http_say(&http, text);
    return ft_fake_http_told(&http);
}

#define JSON "Content-Type: application/json\r\n"
#define PACK "Accept: application/msgpack\r\n"

/* Answers what was asked, and returns what the client is told then. */
static const char *answer(struct ft_relay_ask *question)
{
    ft_fake_relay_answer(&node, question);
    ft_fake_node_settle(&node);
    return ft_fake_http_told(&http);
}

/* ---- orders ---- */

Test(http_cluster, an_order_is_answered_with_what_all_nodes_have_done)
{
    begin();
    cr_assert_str_eq(ask("POST /v1/disconnect", JSON, "{\"user\":\"ann\"}"), "");
    struct ft_relay_ask *question = ft_fake_relay_asked(&relay);
    question->outcome = (struct ft_order_outcome){.sessions = 3, .nodes = 2};
    cr_assert_str_eq(answer(question), "200 {\"sessions\":3,\"nodes\":3}\n");
    cr_assert_str_eq(
        ask("POST /v1/unsubscribe", JSON PACK, "{\"user\":\"ann\",\"topics\":[\"a\"]}"), "");
    question = ft_fake_relay_asked(&relay);
    question->outcome = (struct ft_order_outcome){.sessions = 3, .subscriptions = 4, .nodes = 1};
    cr_assert_str_eq(answer(question),
                     "200 \x83\xa8sessions\x03\xadsubscriptions\x04\xa5nodes\x02\n");
    end();
}

Test(http_cluster, an_order_that_not_all_have_carried_out_is_no_success)
{
    begin();
    ask("POST /v1/disconnect", JSON, "{\"user\":\"ann\"}");
    struct ft_relay_ask *question = ft_fake_relay_asked(&relay);
    question->outcome = (struct ft_order_outcome){.sessions = 3, .nodes = 1};
    (void)ft_problem_set(&question->problem, FT_ERR_TIMEOUT, "node \"n3\" has not answered");
    question->problem.retry_ms = 1000;
    cr_assert_str_eq(answer(question),
                     "504 {\"error\":{\"code\":504,\"message\":\"carried out by 2 nodes, on 3 "
                     "sessions, but node \\\"n3\\\" has not answered\"}}\n");
    cr_assert(strstr(ft_fake_http_fields(), "Retry-After: 1\r\n"));
    ask("POST /v1/disconnect", JSON, "{\"user\":\"ann\"}");
    question = ft_fake_relay_asked(&relay);
    (void)ft_problem_set(&question->problem, FT_ERR_UNAVAILABLE, "Redis is away");
    cr_assert_str_eq(answer(question),
                     "503 {\"error\":{\"code\":503,\"message\":\"carried out by 1 "
                     "node, on 0 sessions, but Redis is away\"}}\n");
    end();
}

/* ---- nodes ---- */

static void add_answer(struct ft_relay_ask *question)
{
    struct ft_writer w;
    ft_writer_init(&w, FT_MSGPACK, &question->answer);
    ft_write_map(&w, 1);
    ft_write_key(&w, "nodes");
    ft_write_array(&w, 1);
    ft_write_str(&w, ft_slice_str("n1"));
}

Test(http_cluster, nodes_are_what_the_relay_says_in_the_clients_encoding)
{
    begin();
    cr_assert_str_eq(ask("GET /v1/nodes", "", ""), "");
    struct ft_relay_ask *question = ft_fake_relay_asked(&relay);
    cr_assert_eq(question->kind, FT_ASK_NODES);
    add_answer(question);
    cr_assert_str_eq(answer(question), "200 {\"nodes\":[\"n1\"]}\n");
    ask("GET /v1/nodes", PACK, "");
    question = ft_fake_relay_asked(&relay);
    add_answer(question);
    cr_assert_str_eq(answer(question), "200 \x81\xa5nodes\x91\xa2n1\n");
    ask("GET /v1/nodes", "", "");
    question = ft_fake_relay_asked(&relay);
    (void)ft_problem_set(&question->problem, FT_ERR_UNAVAILABLE, "Redis is away");
    cr_assert_str_eq(answer(question),
                     "503 {\"error\":{\"code\":503,\"message\":\"Redis is away\"}}\n");
    end();
}

Test(http_cluster, who_asks_for_the_nodes_may_leave)
{
    begin();
    ask("GET /v1/nodes", "", "");
    struct ft_relay_ask *question = ft_fake_relay_asked(&relay);
    ft_fake_http_close(&http);
    add_answer(question);
    ft_fake_relay_answer(&node, question);
    ft_fake_node_settle(&node);
    ft_fake_http_open(&node, &http, 1);
    end();
}

Test(http_cluster, a_node_on_its_own_lists_itself)
{
    ft_fake_http_init(&node, &(struct ft_http_options){0}, 1);
    ft_fake_http_open(&node, &http, 0);
    const char *told = ask("GET /v1/nodes", "", "");
    char start[160], rest[160];
    snprintf(start, sizeof(start),
             "200 {\"nodes\":[{\"name\":\"n1\",\"instance\":\"teststream\",\"version\":\"%s\","
             "\"started\":",
             FT_VERSION);
    snprintf(rest, sizeof(rest),
             "\"connections\":0,\"seen_ms\":0,\"self\":true,\"partitions\":[]}]}\n");
    cr_assert(strncmp(told, start, strlen(start)) == 0, "%s", told);
    cr_assert(strstr(told, rest), "%s", told);
    ft_fake_http_close(&http);
    ft_fake_node_fini(&node);
}

/* ---- sessions ---- */

Test(http_cluster, sessions_are_told_in_the_clients_encoding)
{
    begin();
    cr_assert_str_eq(ask("GET /v1/sessions?user=ann&limit=7", "", ""), "");
    struct ft_relay_ask *question = ft_fake_relay_asked(&relay);
    cr_assert_eq(question->kind, FT_ASK_SESSIONS);
    question->outcome.nodes = 1;
    cr_assert_str_eq(answer(question), "200 {\"sessions\":[],\"total\":0,\"more\":false,"
                                       "\"nodes\":2,\"missing\":[]}\n");
    ask("GET /v1/sessions", PACK, "");
    cr_assert_str_eq(answer(ft_fake_relay_asked(&relay)),
                     "200 \x85\xa8sessions\x90\xa5total\n"); /* text ends at the first 0 */
    ask("GET /v1/sessions?node=n9", "", "");
    question = ft_fake_relay_asked(&relay);
    (void)ft_problem_set(&question->problem, FT_ERR_NOT_FOUND, "no node of this name is there");
    cr_assert_str_eq(
        answer(question),
        "404 {\"error\":{\"code\":404,\"message\":\"no node of this name is there\"}}\n");
    end();
}

Test(http_cluster, who_asks_for_sessions_may_leave)
{
    begin();
    ask("GET /v1/sessions", "", "");
    struct ft_relay_ask *question = ft_fake_relay_asked(&relay);
    ft_fake_http_close(&http);
    ft_fake_relay_answer(&node, question);
    ft_fake_node_settle(&node);
    ft_fake_http_open(&node, &http, 1);
    end();
}

/* ---- readiness ---- */

Test(http_cluster, a_node_that_is_cut_off_lives_but_is_not_ready)
{
    begin();
    cr_assert_str_eq(ask("GET /readyz", "", ""), "200 {\"status\":\"ready\"}\n");
    relay.why = "Redis at \"h:1\" is away";
    cr_assert_str_eq(ask("GET /readyz", "", ""),
                     "503 {\"status\":\"unready\",\"reason\":\"Redis at \\\"h:1\\\" is away\"}\n");
    cr_assert_str_eq(ask("GET /healthz", "", ""), "200 {\"status\":\"ok\"}\n");
    const char *stats = ask("GET /v1/stats", "", "");
    cr_assert(strstr(stats, "\"ready\":0,"));
    cr_assert(strstr(stats, "\"unready\":\"Redis at \\\"h:1\\\" is away\""));
    relay.why = NULL;
    stats = ask("GET /v1/stats", "", "");
    cr_assert(strstr(stats, "\"ready\":1,") && !strstr(stats, "unready"));
    cr_assert_str_eq(ask("GET /readyz", "", ""), "200 {\"status\":\"ready\"}\n");
    end();
}
