/* The envelope reader against protocol/vectors/envelopes.json, and what vectors cannot say. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/envelope.h"
#include "protocol/utf8.h"
#include "tests/unit/support/input.h"

/* --- an envelope as the vectors write it --- */

static json_t *text_of(struct ft_slice text)
{
    return json_stringn((const char *)text.ptr, text.len);
}

static json_t *hex_of(struct ft_slice bytes)
{
    char *hex = malloc(2 * bytes.len + 1);
    for (size_t i = 0; i < bytes.len; i++)
        sprintf(hex + 2 * i, "%02x", bytes.ptr[i]);
    json_t *text = json_stringn(hex, 2 * bytes.len);
    free(hex);
    return text;
}

static json_t *list_of(const struct ft_list *list)
{
    json_t *array = json_array();
    size_t at = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        uint8_t buf[256];
        struct ft_slice item;
        cr_assert_eq(ft_list_next(list, &at, buf, sizeof(buf), &item), FT_OK);
        json_array_append_new(array, text_of(item));
    }
    return array;
}

static void set_text(json_t *map, const char *key, struct ft_slice text)
{
    if (text.ptr)
        json_object_set_new(map, key, text_of(text));
}

static void set_list(json_t *map, const char *key, const struct ft_list *list)
{
    if (list->bytes.ptr)
        json_object_set_new(map, key, list_of(list));
}

static void set_uint(json_t *map, const char *key, bool has, uint64_t num)
{
    if (has)
        json_object_set_new(map, key, json_integer((json_int_t)num));
}

static void set_true(json_t *map, const char *key, bool is_true)
{
    if (is_true)
        json_object_set_new(map, key, json_true());
}

static void set_data(json_t *map, struct ft_data data)
{
    if (data.kind == FT_DATA_NONE)
        return;
    bool is_hex = data.kind == FT_DATA_MSGPACK || data.kind == FT_DATA_BYTES;
    static const char *const kinds[] = {[FT_DATA_JSON] = "json",
                                        [FT_DATA_B64] = "b64",
                                        [FT_DATA_MSGPACK] = "msgpack",
                                        [FT_DATA_BYTES] = "bytes"};
    json_t *value = json_object();
    json_object_set_new(value, kinds[data.kind], is_hex ? hex_of(data.bytes) : text_of(data.bytes));
    json_object_set_new(map, "data", value);
}

static void set_id(json_t *map, struct ft_id id)
{
    set_uint(map, "id", id.kind == FT_ID_INT, id.num);
    if (id.kind == FT_ID_STR)
        set_text(map, "id", id.str);
}

static json_t *map_of(const struct ft_envelope *env)
{
    json_t *map = json_object();
    set_text(map, "op", env->op_name);
    set_id(map, env->id);
    set_data(map, env->data);
    set_text(map, "topic", env->topic);
    set_text(map, "key", env->key);
    set_text(map, "token", env->token);
    set_text(map, "pos", env->pos);
    set_text(map, "message", env->message);
    set_text(map, "reason", env->reason);
    set_text(map, "session", env->session);
    set_text(map, "node", env->node);
    set_text(map, "user", env->user);
    set_text(map, "messages", env->messages);
    if (env->has_since_text)
        set_text(map, "since", env->since_text);
    set_list(map, "topics", &env->topics);
    set_list(map, "since", &env->since);
    set_list(map, "pos", &env->positions);
    set_true(map, "retain", env->retain);
    set_true(map, "retained", env->retained);
    set_true(map, "duplicate", env->duplicate);
    if (env->has_recovered)
        json_object_set_new(map, "recovered", json_boolean(env->recovered));
    set_uint(map, "last", env->has_last, env->last);
    set_uint(map, "every", env->has_every, env->every_ms);
    set_uint(map, "ttl", env->has_ttl, env->ttl_s);
    set_uint(map, "limit", env->has_limit, env->limit);
    set_uint(map, "at", env->has_at, env->at_ms);
    set_uint(map, "code", env->has_code, env->code);
    set_uint(map, "retry", env->has_retry, env->retry_ms);
    set_uint(map, "lost", env->has_lost, env->lost);
    set_uint(map, "ping", env->has_ping, env->ping_s);
    set_uint(map, "reconnect", env->has_reconnect, env->reconnect_ms);
    set_uint(map, "version", env->has_version, env->version);
    return map;
}

/* --- the vectors --- */

static void expect_envelope(const char *name, const json_t *wanted, const struct ft_envelope *env)
{
    json_t *got = map_of(env);
    if (!json_equal(got, wanted)) {
        char *text = json_dumps(got, 0);
        cr_expect_fail("%s: read as %s", name, text);
        free(text);
    }
    const char *op = ft_op_name(env->op);
    if (env->op != FT_OP_NONE)
        cr_expect_str_eq(op, json_string_value(json_object_get(wanted, "op")), "%s", name);
    json_decref(got);
}

static void expect_says(const char *name, const json_t *wanted, const char *key, const char *text)
{
    const char *says = json_string_value(json_object_get(wanted, key));
    if (says)
        cr_expect(strstr(text, says), "%s: \"%s\" does not say: %s", name, text, says);
}

static void expect_error(const char *name, const json_t *wanted, enum ft_err err,
                         const struct ft_envelope *env, const struct ft_problem *problem)
{
    cr_expect_str_eq(ft_err_name(err), json_string_value(json_object_get(wanted, "error")),
                     "%s: %s", name, problem->text);
    cr_expect_eq(err, problem->err);
    cr_expect_eq(ft_err_wire(err), json_integer_value(json_object_get(wanted, "code")));
    expect_says(name, wanted, "says", problem->text);
    expect_says(name, wanted, "sent", problem->text);
    json_t *got = json_object();
    if (env)
        set_id(got, env->id);
    const json_t *id = json_object_get(wanted, "id");
    bool is_same = id ? json_equal(json_object_get(got, "id"), id) : json_object_size(got) == 0;
    cr_expect(is_same, "%s: the id", name);
    json_decref(got);
}

static void expect_outcome(const char *name, enum ft_encoding encoding, struct ft_slice message,
                           const json_t *outcome)
{
    uint8_t *scratch = malloc(message.len + 1);
    struct ft_reader reader;
    struct ft_envelope env;
    struct ft_problem problem = {0};
    enum ft_err err = ft_reader_begin(&reader, encoding, message, scratch, &problem);
    size_t n = 0;
    if (err != FT_OK)
        expect_error(name, json_array_get(outcome, n++), err, NULL, &problem);
    while (ft_reader_has_more(&reader)) {
        err = ft_reader_next(&reader, &env, &problem);
        const json_t *wanted = json_array_get(outcome, n++);
        const json_t *envelope = json_object_get(wanted, "envelope");
        cr_assert(wanted, "%s: more than was wanted", name);
        cr_expect_eq(err == FT_OK, envelope != NULL, "%s: %s", name,
                     err ? problem.text : "is good");
        if (err == FT_OK && envelope)
            expect_envelope(name, envelope, &env);
        else if (err != FT_OK && !envelope)
            expect_error(name, wanted, err, &env, &problem);
    }
    cr_expect_eq(n, json_array_size(outcome), "%s: as many as wanted", name);
    free(scratch);
}

static struct ft_slice input_of(const json_t *one)
{
    const json_t *input = json_object_get(one, "input");
    if (input)
        return ft_input_exact(ft_slice(json_string_value(input), json_string_length(input)));
    struct ft_slice bytes = ft_input_hex(json_string_value(json_object_get(one, "input_hex")));
    struct ft_slice exact = ft_input_exact(bytes);
    ft_input_free(bytes);
    return exact;
}

static enum ft_encoding encoding_of(const json_t *one)
{
    const char *name = json_string_value(json_object_get(one, "encoding"));
    return strcmp(name, "json") == 0 ? FT_JSON : FT_MSGPACK;
}

static json_t *load_vectors(void)
{
    json_error_t error;
    json_t *vectors =
        json_load_file("protocol/vectors/envelopes.json", JSON_REJECT_DUPLICATES, &error);
    cr_assert(vectors, "%s at line %d", error.text, error.line);
    return vectors;
}

Test(envelope, every_vector_is_read_or_refused_as_it_says)
{
    json_t *vectors = load_vectors();
    json_t *cases = json_object_get(vectors, "cases");
    cr_assert_gt(json_array_size(cases), 200);
    size_t i;
    json_t *one;
    json_array_foreach(cases, i, one)
    {
        struct ft_slice message = input_of(one);
        expect_outcome(json_string_value(json_object_get(one, "name")), encoding_of(one), message,
                       json_object_get(one, "outcome"));
        ft_input_free(message);
    }
    json_decref(vectors);
}

/* --- beyond the vectors --- */

/* Reads everything that a message holds; returns how many envelopes were good. */
static int read_all(enum ft_encoding encoding, struct ft_slice message)
{
    if (encoding == FT_JSON && !ft_utf8_is_valid(message))
        return 0;
    struct ft_slice exact = ft_input_exact(message);
    uint8_t *scratch = malloc(message.len ? message.len : 1);
    struct ft_reader reader;
    struct ft_problem problem = {0};
    int good = 0;
    if (ft_reader_begin(&reader, encoding, exact, scratch, &problem) == FT_OK) {
        size_t turns = 0;
        while (ft_reader_has_more(&reader)) {
            struct ft_envelope env;
            enum ft_err err = ft_reader_next(&reader, &env, &problem);
            cr_assert_leq(++turns, message.len + 1, "a message ends");
            good += err == FT_OK;
            cr_assert(err == FT_OK || problem.text[0]);
            cr_assert(ft_utf8_is_valid(ft_slice_str(problem.text)));
            json_decref(map_of(&env));
        }
    }
    free(scratch);
    ft_input_free(exact);
    return good;
}

Test(envelope, every_vector_survives_cuts_and_damage, .timeout = 120)
{
    json_t *vectors = load_vectors();
    uint64_t state = 31;
    size_t i;
    json_t *one;
    struct ft_buffer message;
    ft_buffer_init(&message, 1 << 16);
    int good = 0;
    json_array_foreach(json_object_get(vectors, "cases"), i, one)
    {
        struct ft_slice input = input_of(one);
        for (size_t len = 0; len < input.len && len < 300; len++)
            good += read_all(encoding_of(one), ft_slice(input.ptr, len));
        for (int k = 0; k < 100; k++) {
            ft_buffer_clear(&message);
            ft_buffer_add(&message, input.ptr, input.len);
            ft_input_damage(&state, &message);
            good += read_all(encoding_of(one), ft_buffer_slice(&message));
        }
        ft_input_free(input);
    }
    cr_assert_gt(good, 1000, "some damage leaves an envelope good: %d", good);
    ft_buffer_fini(&message);
    json_decref(vectors);
}

static enum ft_err read_one(const char *text, struct ft_envelope *env, uint8_t *scratch,
                            struct ft_problem *problem)
{
    struct ft_reader reader;
    cr_assert_eq(ft_reader_begin(&reader, FT_JSON, ft_slice_str(text), scratch, problem), FT_OK);
    return ft_reader_next(&reader, env, problem);
}

Test(envelope, a_refusal_names_the_key_what_was_sent_and_what_would_be_right)
{
    uint8_t scratch[256];
    struct ft_envelope env;
    struct ft_problem problem;
    cr_assert_eq(read_one("{\"op\":\"pub\",\"ttl\":\"soon\",\"id\":5}", &env, scratch, &problem),
                 FT_ERR_BAD_FIELD);
    cr_assert_str_eq(
        problem.text,
        "\"ttl\" must be an integer from 0 to 9007199254740991, not the string \"soon\"");
    cr_assert_eq(env.id.num, 5);
}

Test(envelope, the_syntax_error_names_its_place)
{
    uint8_t scratch[256];
    struct ft_envelope env;
    struct ft_problem problem;
    cr_assert_eq(read_one("{\"op\":\"ping\",\"x\":tru}", &env, scratch, &problem),
                 FT_ERR_BAD_ENVELOPE);
    cr_assert(strstr(problem.text, "at byte 17"), "%s", problem.text);
}

Test(envelope, a_problem_that_nobody_wants_may_be_null)
{
    uint8_t scratch[64];
    struct ft_envelope env;
    cr_assert_eq(read_one("{\"ttl\":-1}", &env, scratch, NULL), FT_ERR_BAD_FIELD);
}

Test(envelope, a_list_item_that_does_not_fit_is_told)
{
    uint8_t scratch[256];
    struct ft_envelope env;
    cr_assert_eq(read_one("{\"topics\":[\"abc\",\"\\u00e9\\u00e9\"]}", &env, scratch, NULL), FT_OK);
    uint8_t buf[4];
    struct ft_slice item;
    size_t at = 0;
    cr_assert_eq(ft_list_next(&env.topics, &at, buf, 2, &item), FT_ERR_TOO_LARGE);
    cr_assert_eq(at, 0);
    cr_assert_eq(ft_list_next(&env.topics, &at, buf, 3, &item), FT_OK);
    cr_assert(ft_slice_equal(item, ft_slice_str("abc")));
    cr_assert_eq(ft_list_next(&env.topics, &at, buf, 3, &item), FT_ERR_TOO_LARGE);
    cr_assert_eq(ft_list_next(&env.topics, &at, buf, 4, &item), FT_OK, "12 bytes decode to 4");
    cr_assert(ft_slice_equal(item, ft_slice_str("éé")));
}

Test(envelope, an_array_of_the_smallest_strings_is_counted)
{
    uint8_t scratch[256];
    struct ft_envelope env;
    cr_assert_eq(read_one("{\"topics\":[\"\",\"]\" , \",\"\n]}", &env, scratch, NULL), FT_OK);
    cr_assert_eq(env.topics.count, 3);
    cr_assert_eq(read_one("{\"topics\":[ ]}", &env, scratch, NULL), FT_OK);
    cr_assert_eq(env.topics.count, 0);
    cr_assert(env.topics.bytes.ptr);

    /* ']' is 0x5D, an integer in MessagePack: no end of anything. */
    struct ft_slice message = ft_input_hex("81 a6 74 6f 70 69 63 73 92 a1 61 5d");
    struct ft_reader reader;
    cr_assert_eq(ft_reader_begin(&reader, FT_MSGPACK, message, scratch, NULL), FT_OK);
    cr_assert_eq(ft_reader_next(&reader, &env, NULL), FT_ERR_BAD_FIELD);
    ft_input_free(message);
}

Test(envelope, a_finished_reader_gives_nothing_more)
{
    uint8_t scratch[64];
    struct ft_reader reader;
    struct ft_envelope env;
    cr_assert_eq(ft_reader_begin(&reader, FT_JSON, ft_slice_str("{}"), scratch, NULL), FT_OK);
    cr_assert_eq(ft_reader_next(&reader, &env, NULL), FT_OK);
    cr_assert_not(ft_reader_has_more(&reader));
    cr_assert_eq(ft_reader_next(&reader, &env, NULL), FT_ERR_BAD_ENVELOPE);
}

Test(envelope, every_op_has_its_name)
{
    cr_assert_str_eq(ft_op_name(FT_OP_NONE), "");
    cr_assert_str_eq(ft_op_name(FT_OPS), "");
    for (int op = FT_OP_NONE + 1; op < FT_OPS; op++) {
        char text[64];
        uint8_t scratch[64];
        struct ft_envelope env;
        snprintf(text, sizeof(text), "{\"op\":\"%s\"}", ft_op_name((enum ft_op)op));
        cr_assert_eq(read_one(text, &env, scratch, NULL), FT_OK);
        cr_assert_eq((int)env.op, op, "%s", text);
    }
}

/* Sends the key alone with a value that its type never takes or, for those that take any, `data`. */
Test(envelope, every_key_of_the_table_is_found)
{
    static const char *const names[] = {
#define FT_KEY(slot, name, type, field)          #name,
#define FT_KEY_HAS(slot, name, type, field, has) #name,
#include "protocol/envelope_keys.def"
#undef FT_KEY
#undef FT_KEY_HAS
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[64];
        uint8_t scratch[64];
        struct ft_envelope env;
        snprintf(text, sizeof(text), "{\"%s\":{}}", names[i]);
        enum ft_err wanted = strcmp(names[i], "data") == 0 ? FT_OK : FT_ERR_BAD_FIELD;
        cr_expect_eq(read_one(text, &env, scratch, NULL), wanted, "%s", names[i]);
        cr_expect_eq(env.data.kind == FT_DATA_JSON, wanted == FT_OK);
    }
}

Test(envelope, data_alone_is_checked_to_its_end)
{
    struct ft_problem problem = {0};
    cr_assert_eq(ft_data_check(FT_JSON, ft_slice_str(" {\"a\":1}\n"), &problem), FT_OK);
    cr_assert_eq(ft_data_check(FT_JSON, ft_slice_str("1 2"), &problem), FT_ERR_BAD_DATA);
    cr_assert_eq(ft_data_check(FT_JSON, ft_slice_str("\"\xff\""), &problem), FT_ERR_BAD_DATA);
    cr_assert_eq(ft_data_check(FT_JSON, (struct ft_slice){0}, &problem), FT_ERR_BAD_DATA);
    cr_assert_eq(ft_data_check(FT_MSGPACK, (struct ft_slice){0}, NULL), FT_ERR_BAD_DATA);
}

/* An answer to a history whose one message has data with so many arrays inside each other. */
static enum ft_err read_history(unsigned depth, struct ft_envelope *env)
{
    static const char head[] = "{\"op\":\"ok\",\"messages\":[{\"data\":";
    static char text[256];
    static uint8_t scratch[sizeof(text)];
    size_t n = sizeof(head) - 1;
    memcpy(text, head, n);
    memset(text + n, '[', depth);
    memset(text + n + depth, ']', depth);
    memcpy(text + n + 2 * (size_t)depth, "}]}", 3);
    struct ft_problem problem;
    struct ft_reader reader;
    struct ft_slice message = ft_slice(text, n + 2 * (size_t)depth + 3);
    cr_assert_eq(ft_reader_begin(&reader, FT_JSON, message, scratch, &problem), FT_OK);
    enum ft_err err = ft_reader_next(&reader, env, &problem);
    cr_assert_not(ft_reader_has_more(&reader));
    return err;
}

Test(envelope, data_in_a_history_may_be_as_deep_as_anywhere)
{
    struct ft_envelope env;
    cr_assert_eq(read_history(FT_DEPTH_MAX, &env), FT_OK);
    cr_assert_eq(env.messages.ptr[0], '[');
    cr_assert_eq(env.messages.ptr[env.messages.len - 1], ']');
    cr_assert_eq(read_history(FT_DEPTH_MAX + 1, &env), FT_ERR_BAD_FIELD);
}

/* Reads everything; says "array", "empty", and "broken" where the syntax broke. */
static const char *shape_of(enum ft_encoding encoding, struct ft_slice message)
{
    static char told[32];
    static uint8_t scratch[256];
    struct ft_reader reader;
    struct ft_envelope env;
    if (ft_reader_begin(&reader, encoding, message, scratch, NULL) != FT_OK)
        return "none";
    snprintf(told, sizeof(told), "%s%s", ft_reader_is_array(&reader) ? "array" : "one",
             ft_reader_is_empty(&reader) ? " empty" : "");
    enum ft_err err = FT_OK;
    while (ft_reader_has_more(&reader))
        err = ft_reader_next(&reader, &env, NULL);
    if (ft_reader_is_broken(&reader)) {
        cr_assert_eq(err, FT_ERR_BAD_ENVELOPE);
        strcat(told, " broken");
    }
    return told;
}

Test(envelope, a_reader_says_what_a_message_is)
{
    static const struct {
        const char *text, *shape;
    } rows[] = {
        {"{}", "one"},
        {" {\"op\":1}", "one"},
        {"{\"op\":\"x\",\"op\":\"y\"}", "one"},
        {"{", "one broken"},
        {"{} {}", "one broken"},
        {"[]", "array empty"},
        {" [ ] ", "array empty"},
        {"[{}]", "array"},
        {"[5,{\"ttl\":\"x\"}]", "array"},
        {"[{},]", "array broken"},
        {"[{}", "array broken"},
        {"[{}] x", "array broken"},
        {"5", "none"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_assert_str_eq(shape_of(FT_JSON, ft_slice_str(rows[i].text)), rows[i].shape, "%s",
                         rows[i].text);
    cr_assert_str_eq(shape_of(FT_MSGPACK, ft_slice_str("\x80")), "one");
    cr_assert_str_eq(shape_of(FT_MSGPACK, ft_slice_str("\x90")), "array empty");
    cr_assert_str_eq(shape_of(FT_MSGPACK, ft_slice_str("\x92\x80\x05")), "array");
    cr_assert_str_eq(shape_of(FT_MSGPACK, ft_slice_str("\x92\x80\xc1")), "array broken");
}
