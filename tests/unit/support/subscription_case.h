/*
 * A client's subscriptions against a broker that is played by hand: one set of them, what it asks, answers, deliveries,
 * and a log of who heard what. For the tests that include it, each a program of its own.
 */
#ifndef FT_TESTS_SUBSCRIPTION_CASE_H
#define FT_TESTS_SUBSCRIPTION_CASE_H

#include "clients/c/subscriptions.h"

#include <criterion/criterion.h>

static struct ft_subscriptions subs;
static struct ft_buffer envelope;
static char log_text[512];

static inline void note(const char *word)
{
    strncat(log_text, word, sizeof(log_text) - strlen(log_text) - 1);
    strncat(log_text, " ", sizeof(log_text) - strlen(log_text) - 1);
}

static inline void expect_log(const char *text)
{
    cr_assert_str_eq(log_text, text);
    log_text[0] = '\0';
}

static inline void on_result(struct fantail *f, const struct fantail_result *result, void *user)
{
    (void)f;
    note(user);
    note(result->code ? "refused" : "ok");
}

static inline void on_error(struct fantail *f, const struct fantail_result *result)
{
    (void)f;
    note("error");
    note(result->message);
}

static inline void on_message(struct fantail *f, const struct fantail_message *message, void *user)
{
    (void)f;
    (void)message;
    note(user);
}

static inline void on_resume(struct fantail *f, bool is_recovered)
{
    (void)f;
    note(is_recovered ? "recovered" : "missing");
}

static inline void start(void)
{
    ft_subscriptions_init(&subs, NULL, on_resume);
    ft_buffer_init(&envelope, 1 << 20);
}

static inline void finish(void)
{
    ft_subscriptions_fini(&subs);
    ft_buffer_fini(&envelope);
}

static inline struct fantail_subscription *add(const char *filter, uint32_t every_ms,
                                               const char *name)
{
    struct fantail_subscription *sub = NULL;
    struct fantail_subscribe_options options = {.every_ms = every_ms, .on_result = on_result};
    cr_assert_eq(ft_subscriptions_add(&subs, &filter, 1, &options, on_message,
                                      (void *)(uintptr_t)name, &sub, NULL),
                 FT_OK);
    return sub;
}

/* The next envelope that is due at `now_ms` is `text`; NULL: there is none. */
static inline void expect_ask(uint64_t now_ms, const char *text)
{
    ft_buffer_clear(&envelope);
    bool is_asked = ft_subscriptions_ask(&subs, now_ms, 60, FT_JSON, &envelope);
    cr_assert_eq(is_asked, text != NULL, "%.*s", (int)envelope.len, (const char *)envelope.ptr);
    if (text)
        cr_assert(ft_slice_equal(ft_buffer_slice(&envelope), ft_slice_str(text)),
                  "%.*s instead of %s", (int)envelope.len, (const char *)envelope.ptr, text);
}

/* Reads positions with a space between. */
static inline void see_all(struct ft_positions *positions, const char *pos)
{
    for (; *pos; pos += strspn(pos, " ")) {
        ft_positions_see(positions, ft_slice(pos, strcspn(pos, " ")));
        pos += strcspn(pos, " ");
    }
}

static inline bool answer_with(const char *id, const struct fantail_result *result, const char *pos)
{
    struct ft_positions starts;
    ft_positions_init(&starts);
    see_all(&starts, pos);
    bool is_known =
        ft_subscriptions_answer(&subs, ft_slice_str(id), result, &starts, 1000, on_error);
    ft_positions_fini(&starts);
    return is_known;
}

static inline bool answer(const char *id, int code, uint32_t retry_ms, const char *message)
{
    struct fantail_result result = {.code = code, .message = message, .retry_ms = retry_ms};
    return answer_with(id, &result, "");
}

/* The broker's `ok` of a `sub` with `since`, whose feed starts behind `pos`. */
static inline void resume(const char *id, bool is_recovered, const char *pos)
{
    struct fantail_result result = {.message = "", .recovered = is_recovered};
    cr_assert(answer_with(id, &result, pos), "%s", id);
}

/* The same without. */
static inline void accept(const char *id, const char *pos)
{
    resume(id, false, pos);
}

static inline struct fantail_bytes bytes(const char *text)
{
    return (struct fantail_bytes){.ptr = text, .len = strlen(text)};
}

static inline void deliver_at(const char *topic, const char *pos, bool is_retained)
{
    struct fantail_message message = {
        .topic = bytes(topic),
        .pos = bytes(pos),
        .retained = is_retained,
    };
    ft_subscriptions_deliver(&subs, &message, on_message, (void *)(uintptr_t) "default");
}

static inline void deliver(const char *topic)
{
    deliver_at(topic, "", false);
}

/* Delivers a publication and expects who gets it. */
static inline void expect_delivery(const char *topic, const char *pos, const char *text)
{
    deliver_at(topic, pos, false);
    expect_log(text);
}

static inline void expect_position(const struct fantail_subscription *sub, const char *text)
{
    char out[FT_POSITION_BYTES_MAX] = "";
    cr_assert_eq(ft_subscription_position_count(sub), *text ? 1 : 0);
    ft_subscription_position(sub, 0, out, sizeof(out));
    cr_assert_str_eq(out, text);
}

/* Asks for everything that waits, and forgets how. */
static inline void ask_all(void)
{
    do
        ft_buffer_clear(&envelope);
    while (ft_subscriptions_ask(&subs, 0, 1000, FT_JSON, &envelope));
}

#endif
