/* The HTTP API from a request's bytes to its answer, where it takes a turn or more: publishing, control, who
 * may ask. What a client sees besides is tested over sockets (tests/integration). */
#include "broker/core/journal.h"
#include "tests/unit/support/fake_http.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct ft_fake_node node;
static struct ft_fake_http http;

static void begin(uint32_t workers)
{
    ft_fake_http_init(&node, &(struct ft_http_options){0}, workers);
    ft_fake_http_open(&node, &http, 0);
}

static void end(void)
{
    ft_fake_http_close(&http);
    ft_fake_node_fini(&node);
}

/* Writes a request with more header lines, each with its \r\n, and a body. Lent until the third call from
 * here. */
static const char *request(const char *line, const char *fields, const char *body)
{
    static char texts[3][1 << 17];
    static unsigned next;
    char *text = texts[next++ % 3], length[40] = "";
    if (*body)
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
    snprintf(text, sizeof(texts[0]), "%s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n%s", line, fields,
             length, body);
    return text;
}

#define JSON "Content-Type: application/json\r\n"

static const char *ask(const char *line, const char *fields, const char *body)
{
    ft_fake_http_say(&http, request(line, fields, body));
    return ft_fake_http_told(&http);
}

static const char *publish(const char *body)
{
    return ask("POST /v1/publish", JSON, body);
}

Test(http_api, a_publication_is_answered_with_its_position)
{
    begin(1);
    cr_assert_str_eq(
        publish("{\"topic\":\"a/b\",\"data\":1,\"id\":[7]}"),
        "400 {\"error\":{\"code\":400,\"message\":\"\\\"id\\\" must be an integer from 0 "
        "to 9007199254740991 or a string of at most 64 bytes, not an array\"}}\n");
    cr_assert_str_eq(publish("{\"topic\":\"a/b\",\"data\":1,\"key\":\"k\",\"id\":\"x\"}"),
                     "200 {\"pos\":\"teststream.1\"}\n");
    cr_assert_str_eq(publish("{\"topic\":\"a/b\",\"data\":2,\"key\":\"k\"}"),
                     "200 {\"pos\":\"teststream.1\",\"duplicate\":true}\n");
    cr_assert_str_eq(ask("POST /v1/topics/a%2Fb?ttl=60", "Content-Type: text/plain\r\n", "\"x\""),
                     "200 {\"pos\":\"teststream.2\"}\n");
    cr_assert_str_eq(ask("GET /v1/history?topic=a/b&last=1", "", ""),
                     "200 {\"messages\":[{\"topic\":\"a/b\",\"data\":\"\\\"x\\\"\","
                     "\"at\":1763700000000,\"pos\":\"teststream.2\"}]}\n");
    end();
}

Test(http_api, elements_of_an_array_stand_for_themselves)
{
    begin(1);
    const char *told = publish("[{\"topic\":\"a\",\"data\":1},5,{\"topic\":\"a\"},"
                               "{\"topic\":\"$sys/x\",\"data\":1},{\"topic\":\"b\",\"data\":2}]");
    cr_assert(strncmp(told,
                      "200 {\"results\":[{\"pos\":\"teststream.1\"},{\"error\":{\"code\":400,",
                      60) == 0,
              "%s", told);
    cr_assert(strstr(told, "{\"error\":{\"code\":400,\"message\":\"pub needs data"), "%s", told);
    cr_assert(strstr(told, "{\"error\":{\"code\":403,"), "%s", told);
    cr_assert(strstr(told, ",{\"pos\":\"teststream.2\"}]}\n"), "%s", told);
    cr_assert_str_eq(publish(" [ ] "), "200 {\"results\":[]}\n");
    end();
}

Test(http_api, of_an_array_that_cannot_be_read_nothing_is_published)
{
    begin(1);
    static const char *const bodies[] = {"[{\"topic\":\"a\",\"data\":1},",
                                         "[{\"topic\":\"a\",\"data\":1}] x",
                                         "[{\"topic\":\"a\",\"data\":1},\"\xff\"]", "[] x"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        cr_assert(strncmp(publish(bodies[i]), "400 ", 4) == 0, "%s", bodies[i]);
    cr_assert_eq(ft_journal_head(node.journal), 0);
    end();
}

/* Writes an array of n publications. */
static const char *array_of(int n)
{
    static char text[1 << 16];
    size_t at = (size_t)snprintf(text, sizeof(text), "[");
    for (int i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s{\"topic\":\"t\",\"data\":%d}",
                               i ? "," : "", i);
    snprintf(text + at, sizeof(text) - at, "]");
    return text;
}

/* More than a batch holds: some are numbered while the body is still read. */
Test(http_api, a_thousand_are_the_most)
{
    begin(1);
    const char *told = publish(array_of(1000));
    cr_assert(strncmp(told, "200 ", 4) == 0);
    cr_assert(strstr(told, "{\"pos\":\"teststream.1\"},{\"pos\":\"teststream.2\"},"));
    cr_assert(strstr(told, "{\"pos\":\"teststream.999\"},{\"pos\":\"teststream.1000\"}]}\n"));
    cr_assert(strncmp(publish(array_of(1001)), "413 ", 4) == 0);
    cr_assert_eq(ft_journal_head(node.journal), 1000);
    end();
}

Test(http_api, answers_come_in_the_order_of_the_requests)
{
    begin(2);
    char text[4096] = "";
    strcat(text, request("POST /v1/publish", JSON, "{\"topic\":\"a\",\"data\":1}"));
    strcat(text, request("GET /healthz", "", ""));
    strcat(text, request("POST /v1/disconnect", JSON, "{\"user\":\"x\"}"));
    strcat(text, request("POST /v1/publish", JSON, "[{\"topic\":\"a\",\"data\":2}]"));
    strcat(text, request("GET /nowhere", "", ""));
    ft_fake_http_say(&http, text);
    cr_assert_str_eq(
        ft_fake_http_told(&http),
        "200 {\"pos\":\"teststream.1\"}\n200 {\"status\":\"ok\"}\n"
        "200 {\"sessions\":0,\"nodes\":1}\n200 {\"results\":[{\"pos\":\"teststream.2\"}]}\n"
        "404 {\"error\":{\"code\":404,\"message\":\"there is nothing at "
        "\\\"/nowhere\\\"\"}}\n");
    end();
}

Test(http_api, who_leaves_before_the_answer_has_published_all_the_same)
{
    begin(2);
    ft_fake_node_begin(&node, 0);
    ft_fake_http_receive(&http, request("POST /v1/publish", JSON, "{\"topic\":\"a\",\"data\":1}"));
    ft_fake_http_receive(&http, request("POST /v1/disconnect", JSON, "{\"user\":\"x\"}"));
    ft_fake_http_close(&http);
    ft_fake_node_settle(&node);
    cr_assert_eq(ft_journal_head(node.journal), 1);
    ft_fake_http_open(&node, &http, 1);
    end();
}

Test(http_api, an_order_reaches_the_sessions_of_all_workers)
{
    begin(2);
    struct ft_fake_client clients[2] = {0};
    for (uint32_t i = 0; i < 2; i++) {
        clients[i].who = ft_fake_identity(&(struct ft_fake_token){.user = "ann", .sub = "#"});
        ft_fake_client_open(&node, &clients[i], i, FT_FRAMES_JSON);
        ft_fake_client_say(&clients[i], "{\"op\":\"sub\",\"topics\":[\"a\",\"b\"]}");
    }
    cr_assert_str_eq(
        ask("POST /v1/unsubscribe", JSON, "{\"user\":\"ann\",\"topics\":[\"a\",\"c\"]}"),
        "200 {\"sessions\":2,\"subscriptions\":2,\"nodes\":1}\n");
    cr_assert_str_eq(
        ask("POST /v1/disconnect", JSON "Accept: application/msgpack\r\n", "{\"user\":\"ann\"}"),
        "200 \x82\xa8sessions\x02\xa5nodes\x01\n");
    cr_assert(strstr(ft_fake_client_told(&clients[0]), "close(4403)"));
    cr_assert(strstr(ft_fake_client_told(&clients[1]), "close(4403)"));
    cr_assert(strncmp(ask("POST /v1/disconnect", JSON, "{\"user\":null}"), "400 ", 4) == 0);
    cr_assert(strncmp(ask("POST /v1/disconnect", JSON, "[{\"user\":\"x\"}]"), "400 ", 4) == 0);
    cr_assert(strncmp(ask("POST /v1/unsubscribe", JSON, "{\"user\":\"x\"}"), "400 ", 4) == 0);
    end();
}

static int status_of(const char *line, const char *fields, const char *body)
{
    return atoi(ask(line, fields, body));
}

Test(http_api, a_token_says_what_may_be_done)
{
    begin(1);
    node.gate.door = FT_FAKE_TOKEN;
    node.gate.tokens[0] = (struct ft_fake_token){"good", "ann", "in/#", "out/#", 0};
    const char *good = "Authorization: Bearer good\r\n", *bad = "Authorization: Bearer bad\r\n";
    cr_assert_eq(status_of("GET /v1/history?topic=in/a", "", ""), 401);
    cr_assert(strstr(ft_fake_http_fields(), "WWW-Authenticate: Bearer realm=\"fantail\"\r\n"));
    cr_assert_eq(status_of("GET /v1/history?topic=in/a", bad, ""), 401);
    cr_assert(strstr(ft_fake_http_fields(), "error=\"invalid_token\"\r\n"));
    cr_assert_eq(status_of("GET /v1/history?topic=in/a", good, ""), 200);
    cr_assert_eq(status_of("GET /v1/history?topic=in/a&token=good", "", ""), 200);
    cr_assert_eq(status_of("GET /v1/history?topic=in/a", "Cookie: fantail_token=good\r\n", ""),
                 200);
    cr_assert_eq(status_of("GET /v1/history?topic=in/a&token=good", bad, ""), 401);
    cr_assert_eq(status_of("GET /v1/history?topic=out/a", good, ""), 403);
    cr_assert_eq(status_of("POST /v1/topics/out/a", good, "x"), 200);
    cr_assert_eq(status_of("POST /v1/topics/in/a", good, "x"), 403);
    cr_assert_eq(status_of("GET /v1/stats", good, ""), 403);
    cr_assert_eq(status_of("GET /v1/stats", "", ""), 401);
    cr_assert_eq(status_of("GET /healthz", bad, ""), 200);
    end();
}

Test(http_api, only_who_is_really_here_is_an_admin_without_a_token)
{
    begin(1);
    cr_assert_eq(status_of("GET /v1/stats", "", ""), 200);
    cr_assert_eq(status_of("GET /v1/stats", "X-Forwarded-For: 127.0.0.1\r\n", ""), 401);
    cr_assert_eq(status_of("GET /v1/stats", "Via: 1.1 proxy\r\n", ""), 401);
    ft_fake_http_say(&http, "GET /v1/stats HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
    cr_assert_eq(atoi(ft_fake_http_told(&http)), 401);
    ft_fake_http_say(&http, "GET /v1/stats HTTP/1.1\r\nHost: my.localhost:8080\r\n\r\n");
    cr_assert_eq(atoi(ft_fake_http_told(&http)), 200);
    end();
}

Test(http_api, pages_of_elsewhere_are_refused)
{
    begin(1);
    cr_assert_eq(status_of("GET /healthz", "Origin: http://evil.example\r\n", ""), 403);
    cr_assert_eq(status_of("GET /healthz", "Origin: http://localhost\r\n", ""), 200);
    cr_assert(strstr(ft_fake_http_fields(), "Access-Control-Allow-Origin: http://localhost\r\n"));
    cr_assert_eq(status_of("OPTIONS /v1/publish",
                           "Origin: http://localhost\r\nAccess-Control-Request-Method: POST\r\n",
                           ""),
                 204);
    cr_assert(strstr(ft_fake_http_fields(), "Access-Control-Allow-Methods: POST, OPTIONS\r\n"));
    end();
}

Test(http_api, too_many_requests_are_told_when_to_come_back)
{
    begin(1);
    struct ft_quota_limits limits = {0};
    limits.rates[FT_QUOTA_ADDRESS][FT_QUOTA_REQUESTS] = 2;
    ft_quotas_configure(node.quotas, &limits);
    cr_assert_eq(status_of("GET /healthz", "", ""), 200);
    cr_assert_eq(status_of("GET /healthz", "", ""), 200);
    cr_assert_eq(status_of("GET /healthz", "", ""), 429);
    cr_assert(strstr(ft_fake_http_fields(), "Retry-After: 1\r\n"));
    ft_fake_node_pass(&node, 1000);
    cr_assert_eq(status_of("GET /healthz", "", ""), 200);
    end();
}

/* The body never comes. */
Test(http_api, a_head_alone_is_enough_for_a_refusal)
{
    static const struct {
        const char *line, *fields;
        int status;
    } rows[] = {
        {"POST /nowhere", "Content-Length: 99999\r\n", 404},
        {"POST /healthz", "Content-Length: 99999\r\n", 405},
        {"POST /v1/publish", "Content-Type: text/html\r\nContent-Length: 99999\r\n", 415},
        {"POST /v1/publish", JSON "Content-Length: 99999999\r\n", 413},
        {"POST /v1/topics/a", "Content-Length: 65537\r\n", 413},
        {"POST /v1/topics/%23", "Content-Length: 99\r\n", 400},
        {"POST /v1/topics/$x", "Content-Length: 99\r\n", 403},
        {"POST /v1/topics/a", "Content-Type: text/plain; charset=x\r\nContent-Length: 9\r\n", 415},
        {"POST /v1/publish", JSON, 411},
        {"GET /healthz", "Content-Length: 5\r\n", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin(1);
        cr_assert_eq(status_of(rows[i].line, rows[i].fields, ""), rows[i].status, "%s",
                     rows[i].line);
        end();
    }
}

/* Asks on a connection that ends with the answer. */
static void assert_last(const char *fields, const char *body, int status, bool lingers)
{
    ft_fake_http_open(&node, &http, 0);
    cr_assert_eq(status_of("POST /nowhere", fields, body), status);
    cr_assert(http.is_finished);
    cr_assert_eq(http.lingers, lingers, "%s", fields);
}

/* A reset would take the answer back, and fail the client's write. */
Test(http_api, the_rest_of_a_body_may_come_after_the_last_answer)
{
    ft_fake_http_init(&node, &(struct ft_http_options){0}, 1);
    assert_last("Connection: close\r\n", "whole", 404, false);
    ft_fake_http_close(&http);
    assert_last("Connection: close\r\nContent-Length: 5\r\n", "", 404, true);
    ft_fake_http_close(&http);
    struct ft_quota_limits limits = {0};
    limits.rates[FT_QUOTA_ADDRESS][FT_QUOTA_CONNECTS] = 1;
    ft_quotas_configure(node.quotas, &limits);
    assert_last("Connection: close\r\n", "", 404, false);
    ft_fake_http_close(&http);
    assert_last("", "", 429, false);
    ft_fake_http_close(&http);
    assert_last("", "whole", 429, false);
    ft_fake_http_close(&http);
    assert_last("Content-Length: 99999\r\n", "", 429, true);
    end();
}

Test(http_api, a_websocket_takes_the_identity_along)
{
    begin(1);
    node.gate.door = FT_FAKE_TOKEN;
    node.gate.tokens[0] = (struct ft_fake_token){"good", "ann", "in/#", NULL, 0};
    ft_fake_http_say(&http,
                     request("GET /ws",
                             "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             "Sec-WebSocket-Protocol: fantail.bearer.good, fantail.v1.msgpack"
                             "\r\n",
                             ""));
    cr_assert(http.is_upgraded);
    cr_assert_eq(http.upgrade.encoding, FT_MSGPACK);
    cr_assert(ft_slice_equal(ft_identity_user(http.upgrade.who), ft_slice_str("ann")));
    cr_assert_str_eq(ft_fake_http_told(&http), "101\n");
    cr_assert(strstr(ft_fake_http_fields(), "Sec-WebSocket-Protocol: fantail.v1.msgpack\r\n"));
    cr_assert_not(strstr(ft_fake_http_fields(), "bearer"));
    end();
}
