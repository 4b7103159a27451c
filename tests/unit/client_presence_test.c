/* Requests for who is present, and their answers. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "clients/c/presence.h"

static struct ft_client_presences presences;
static struct ft_buffer envelope;
static char log_text[1024];

static void on_done(struct fantail *f, const struct fantail_presence *presence, void *user)
{
    size_t at = strlen(log_text);
    (void)f;
    at += (size_t)snprintf(log_text + at, sizeof(log_text) - at, "%s:%d:%llu ", (const char *)user,
                           presence->code, (unsigned long long)presence->count);
    for (size_t i = 0; i < presence->client_count; i++) {
        const struct fantail_present *client = &presence->clients[i];
        at += (size_t)snprintf(log_text + at, sizeof(log_text) - at, "%s/%s/%llu ", client->session,
                               client->user ? client->user : "-",
                               (unsigned long long)client->since_ms);
    }
}

static void start(void)
{
    ft_client_presences_init(&presences, NULL);
    ft_buffer_init(&envelope, 1 << 20);
}

static void finish(void)
{
    ft_client_presences_fini(&presences);
    ft_buffer_fini(&envelope);
}

static enum ft_err add(const char *topic)
{
    return ft_client_presences_add(&presences, topic, on_done, (void *)(uintptr_t)topic, NULL);
}

static void expect_ask(const char *text)
{
    ft_buffer_clear(&envelope);
    cr_assert_eq(ft_client_presences_ask(&presences, FT_JSON, &envelope), text != NULL);
    if (text)
        cr_assert(ft_slice_equal(ft_buffer_slice(&envelope), ft_slice_str(text)),
                  "%.*s instead of %s", (int)envelope.len, (const char *)envelope.ptr, text);
}

static bool answer(const char *id, int code, enum ft_encoding encoding, struct ft_slice message)
{
    struct fantail_result result = {.code = code, .message = ""};
    return ft_client_presences_answer(&presences, ft_slice_str(id), &result, encoding, message);
}

static void expect_log(const char *text)
{
    cr_assert_str_eq(log_text, text);
    log_text[0] = '\0';
}

Test(client_presence, each_is_asked_for_and_answered_once)
{
    start();
    cr_assert(add("a") == FT_OK && add("b") == FT_OK);
    expect_ask("{\"op\":\"presence\",\"id\":\"p1\",\"topic\":\"a\"}");
    cr_assert_not(answer("p2", 0, FT_JSON, ft_slice_str("{}")), "not asked yet");
    expect_ask("{\"op\":\"presence\",\"id\":\"p2\",\"topic\":\"b\"}");
    expect_ask(NULL);
    cr_assert(answer("p2", 404, FT_JSON, ft_slice_str("{}")));
    cr_assert_not(answer("p2", 404, FT_JSON, ft_slice_str("{}")));
    cr_assert(answer("p1", 0, FT_JSON,
                     ft_slice_str("{\"op\":\"ok\",\"id\":\"p1\",\"count\":7,\"clients\":["
                                  "{\"session\":\"s\",\"user\":null,\"since\":5},"
                                  "{\"session\":\"t\",\"user\":\"\\u0061lice\",\"since\":6}]}")));
    cr_assert_eq(presences.count, 0);
    expect_log("b:404:0 a:0:7 s/-/5 t/alice/6 ");
    finish();
}

Test(client_presence, of_several_envelopes_it_is_the_one_with_the_id)
{
    start();
    cr_assert_eq(add("a"), FT_OK);
    expect_ask("{\"op\":\"presence\",\"id\":\"p1\",\"topic\":\"a\"}");
    cr_assert(answer("p1", 0, FT_JSON,
                     ft_slice_str("[{\"op\":\"ok\",\"id\":3},"
                                  "{\"op\":\"ok\",\"id\":\"p9\",\"count\":1,\"clients\":[]},"
                                  "{\"op\":\"ok\",\"id\":\"p1\",\"count\":2,\"clients\":[]}]")));
    expect_log("a:0:2 ");
    finish();
}

Test(client_presence, messagepack_is_taken_apart_as_well)
{
    static const char whole[] = "\x84\xa2op\xa2ok\xa2id\xa2p1\xa5"
                                "count\x01\xa7"
                                "clients\x91\x83\xa7session\xa1s\xa4user\xc0\xa5since\x07";
    start();
    cr_assert_eq(add("a"), FT_OK);
    cr_assert(ft_client_presences_ask(&presences, FT_MSGPACK, &envelope));
    cr_assert(answer("p1", 0, FT_MSGPACK, ft_slice(whole, sizeof(whole) - 1)));
    expect_log("a:0:1 s/-/7 ");
    finish();
}

Test(client_presence, an_answer_that_says_nothing_is_an_error)
{
    static const char *const bad[] = {
        "{\"id\":\"p\"}",
        "{\"count\":1}",
        "{\"clients\":[]}",
        "{\"count\":\"1\",\"clients\":[]}",
        "{\"count\":1,\"clients\":{}}",
        "{\"count\":1,\"clients\":[{\"user\":\"u\"}]}",
        "[]",
        "junk",
    };
    start();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char id[16];
        cr_assert_eq(add("a"), FT_OK);
        ft_buffer_clear(&envelope);
        cr_assert(ft_client_presences_ask(&presences, FT_JSON, &envelope));
        snprintf(id, sizeof(id), "p%zu", i + 1);
        cr_assert(answer(id, 0, FT_JSON, ft_slice_str(bad[i])));
        expect_log("a:500:0 ");
    }
    finish();
}

Test(client_presence, a_break_asks_again_and_the_end_ends_all)
{
    start();
    cr_assert(add("a") == FT_OK && add("b") == FT_OK);
    expect_ask("{\"op\":\"presence\",\"id\":\"p1\",\"topic\":\"a\"}");
    ft_client_presences_break(&presences);
    cr_assert_not(answer("p1", 0, FT_JSON, ft_slice_str("{\"count\":0,\"clients\":[]}")));
    expect_ask("{\"op\":\"presence\",\"id\":\"p2\",\"topic\":\"a\"}");
    expect_ask("{\"op\":\"presence\",\"id\":\"p3\",\"topic\":\"b\"}");
    expect_ask(NULL);
    ft_client_presences_end_all(&presences);
    expect_log("a:503:0 b:503:0 ");
    finish();
}

Test(client_presence, what_is_no_topic_or_one_too_many_is_refused)
{
    start();
    cr_assert_eq(add("a/#"), FT_ERR_BAD_TOPIC);
    for (int i = 0; i < FT_PRESENCES_MAX; i++)
        cr_assert_eq(add("a"), FT_OK);
    cr_assert_eq(add("a"), FT_ERR_TOO_MANY);
    finish();
}
