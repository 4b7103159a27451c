/* Requests for the past, and their answers. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "clients/c/history.h"

static struct ft_histories histories;
static struct ft_buffer envelope;
static char log_text[1024];

static void add_log(const void *ptr, size_t len)
{
    snprintf(log_text + strlen(log_text), sizeof(log_text) - strlen(log_text), "%.*s ", (int)len,
             (const char *)ptr);
}

static void on_done(struct fantail *f, const struct fantail_history *history, void *user)
{
    char code[32];
    (void)f;
    snprintf(code, sizeof(code), "%s:%d%s", (const char *)user, history->code,
             history->recovered ? "!" : "");
    add_log(code, strlen(code));
    for (size_t i = 0; i < history->count; i++) {
        const struct fantail_message *message = &history->messages[i];
        add_log(message->topic.ptr, message->topic.len);
        add_log(message->data.ptr, message->data.len);
        add_log(message->pos.ptr, message->pos.len);
    }
}

static void start(void)
{
    ft_histories_init(&histories, NULL);
    ft_buffer_init(&envelope, 1 << 20);
}

static void finish(void)
{
    ft_histories_fini(&histories);
    ft_buffer_fini(&envelope);
}

static enum ft_err add(const char *topic, uint32_t last, const char *since, uint32_t limit)
{
    struct fantail_history_options options = {
        .last = last, .since = since, .limit = limit, .user = (void *)(uintptr_t)topic};
    return ft_histories_add(&histories, topic, &options, on_done, NULL);
}

static void expect_ask(const char *text)
{
    ft_buffer_clear(&envelope);
    cr_assert_eq(ft_histories_ask(&histories, FT_JSON, &envelope), text != NULL);
    if (text)
        cr_assert(ft_slice_equal(ft_buffer_slice(&envelope), ft_slice_str(text)),
                  "%.*s instead of %s", (int)envelope.len, (const char *)envelope.ptr, text);
}

static bool answer(const char *id, int code, const char *messages)
{
    struct fantail_history history = {.code = code, .message = "", .recovered = code == 0};
    return ft_histories_answer(&histories, ft_slice_str(id), &history, FT_JSON,
                               messages ? ft_slice_str(messages) : ft_slice(NULL, 0));
}

static void expect_log(const char *text)
{
    cr_assert_str_eq(log_text, text);
    log_text[0] = '\0';
}

Test(client_history, each_is_asked_for_and_answered_once)
{
    start();
    cr_assert_eq(add("a", 0, NULL, 0), FT_OK);
    cr_assert_eq(add("b", 5, NULL, 0), FT_OK);
    cr_assert_eq(add("c", 0, "n.7", 9), FT_OK);
    expect_ask("{\"op\":\"history\",\"id\":\"h1\",\"topic\":\"a\"}");
    expect_ask("{\"op\":\"history\",\"id\":\"h2\",\"topic\":\"b\",\"last\":5}");
    expect_ask("{\"op\":\"history\",\"id\":\"h3\",\"topic\":\"c\",\"since\":\"n.7\",\"limit\":9}");
    expect_ask(NULL);
    cr_assert(answer("h2", 0, "[]"));
    cr_assert_not(answer("h2", 0, "[]"), "answered already");
    cr_assert(answer("h1", 404, NULL));
    cr_assert_eq(histories.count, 1);
    expect_log("b:0! a:404 ");
    finish();
}

Test(client_history, messages_come_in_order_with_their_data)
{
    start();
    cr_assert_eq(add("a", 0, NULL, 0), FT_OK);
    expect_ask("{\"op\":\"history\",\"id\":\"h1\",\"topic\":\"a\"}");
    cr_assert(answer("h1", 0,
                     "[{\"topic\":\"\\u0061\",\"data\":{\"n\":1},\"pos\":\"n.1\",\"at\":7}, "
                     "{\"topic\":\"a\",\"b64\":\"aGk=\",\"pos\":\"n.2\",\"at\":8},"
                     "{\"topic\":\"a\",\"b64\":\"eW91\",\"pos\":\"n.4\",\"at\":8}]"));
    expect_log("a:0! a {\"n\":1} n.1 a hi n.2 a you n.4 ");
    finish();
}

Test(client_history, messagepack_is_taken_apart_as_well)
{
    static const uint8_t one[] = "\x91\x82\xa5topic\xa1t\xa4"
                                 "data\xa2hi";
    static const uint8_t none[] = {0x90};
    static const struct fantail_history fine = {.message = ""};
    start();
    for (int i = 0; i < 2; i++)
        cr_assert_eq(add("t", 0, NULL, 0), FT_OK);
    for (int i = 0; i < 2; i++)
        cr_assert(ft_histories_ask(&histories, FT_MSGPACK, &envelope));
    cr_assert(ft_histories_answer(&histories, ft_slice_str("h1"), &fine, FT_MSGPACK,
                                  ft_slice(one, sizeof(one) - 1)));
    expect_log("t:0 t \xa2hi  ");
    cr_assert(ft_histories_answer(&histories, ft_slice_str("h2"), &fine, FT_MSGPACK,
                                  ft_slice(none, sizeof(none))));
    expect_log("t:0 ");
    finish();
}

Test(client_history, an_answer_that_is_none_is_a_failure)
{
    static const char *const wrong[] = {NULL, "[1]", "[{\"topic\":5}]", "[{}"};
    char id[8];
    start();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(add("a", 0, NULL, 0), FT_OK);
        ft_buffer_clear(&envelope);
        cr_assert(ft_histories_ask(&histories, FT_JSON, &envelope));
        snprintf(id, sizeof(id), "h%zu", i + 1);
        cr_assert(answer(id, 0, wrong[i]));
        expect_log("a:500! ");
    }
    finish();
}

Test(client_history, a_break_asks_again_and_an_end_tells_everyone)
{
    start();
    cr_assert_eq(add("a", 0, NULL, 0), FT_OK);
    expect_ask("{\"op\":\"history\",\"id\":\"h1\",\"topic\":\"a\"}");
    ft_histories_break(&histories);
    cr_assert_not(answer("h1", 0, "[]"), "it went down with its connection");
    expect_ask("{\"op\":\"history\",\"id\":\"h2\",\"topic\":\"a\"}");
    cr_assert_eq(add("b", 0, NULL, 0), FT_OK);
    ft_histories_end_all(&histories);
    expect_log("a:503 b:503 ");
    cr_assert_eq(histories.count, 0);
    expect_ask(NULL);
    finish();
}

Test(client_history, what_cannot_be_asked_for_is_refused_at_once)
{
    start();
    cr_assert_eq(add("a/#", 0, NULL, 0), FT_ERR_BAD_TOPIC);
    cr_assert_eq(add("a", 0, "seven", 0), FT_ERR_BAD_FIELD);
    cr_assert_eq(add("a", 1, "n.7", 0), FT_ERR_BAD_FIELD);
    cr_assert_eq(add("a", 0, NULL, 1), FT_ERR_BAD_FIELD);
    for (int i = 0; i < FT_HISTORIES_MAX; i++)
        cr_assert_eq(add("a", 0, NULL, 0), FT_OK);
    cr_assert_eq(add("a", 0, NULL, 0), FT_ERR_TOO_MANY);
    finish();
}

Test(client_history, answers_to_nobody_are_not_taken)
{
    static const char *const ids[] = {"", "h", "h0", "h2", "s1", "h1x", "h01"};
    start();
    cr_assert_eq(add("a", 0, NULL, 0), FT_OK);
    cr_assert_not(answer("h0", 0, "[]"), "not asked for");
    expect_ask("{\"op\":\"history\",\"id\":\"h1\",\"topic\":\"a\"}");
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        cr_assert_not(answer(ids[i], 0, "[]"), "%s", ids[i]);
    expect_log("");
    finish();
}
