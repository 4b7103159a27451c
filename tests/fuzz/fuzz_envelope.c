/*
 * The envelope reader: the first byte picks the encoding (odd is MessagePack), the rest is a message.
 * Whatever comes, reading ends, every slice is readable, every refusal says why; the data of what is
 * accepted goes to the other encoding and back.
 */
#include "protocol/utf8.h"
#include "tests/fuzz/check.h"

static void check_list(const struct ft_list *list)
{
    size_t at = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        uint8_t buf[64];
        struct ft_slice item;
        enum ft_err err = ft_list_next(list, &at, buf, sizeof(buf), &item);
        if (err == FT_ERR_TOO_LARGE)
            return;
        CHECK(err == FT_OK && ft_utf8_is_valid(item));
    }
}

static void check_data(struct ft_data data)
{
    enum ft_data_kind kind;
    if (data.kind == FT_DATA_JSON) {
        check_json_settles(data.bytes);
    } else if (data.kind == FT_DATA_MSGPACK) {
        check_msgpack_settles(data.bytes);
    } else if (data.kind == FT_DATA_B64) {
        struct ft_buffer packed = check_transcode(FT_DATA_B64, data.bytes, FT_MSGPACK, &kind);
        check_msgpack_settles(ft_buffer_slice(&packed));
        ft_buffer_fini(&packed);
    } else if (data.kind == FT_DATA_BYTES) {
        struct ft_buffer text = check_transcode(FT_DATA_BYTES, data.bytes, FT_JSON, &kind);
        CHECK(kind == FT_DATA_B64);
        ft_buffer_fini(&text);
    }
}

static void check_envelope(const struct ft_envelope *env)
{
    const struct ft_slice texts[] = {env->op_name, env->topic,   env->key,    env->token,
                                     env->pos,     env->message, env->reason, env->session,
                                     env->node,    env->user};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        CHECK(ft_utf8_is_valid(texts[i]));
    if (env->id.kind == FT_ID_INT)
        CHECK(env->id.num <= FT_INT_MAX);
    if (env->id.kind == FT_ID_STR)
        CHECK(env->id.str.len <= FT_ID_BYTES_MAX && ft_utf8_is_valid(env->id.str));
    check_list(&env->topics);
    check_list(&env->since);
    check_list(&env->positions);
    check_data(env->data);
}

static void check_message(enum ft_encoding encoding, struct ft_slice message, uint8_t *scratch)
{
    struct ft_reader reader;
    struct ft_problem problem = {0};
    if (ft_reader_begin(&reader, encoding, message, scratch, &problem) != FT_OK) {
        CHECK(problem.text[0] && !ft_reader_has_more(&reader));
        return;
    }
    for (size_t turns = 0; ft_reader_has_more(&reader); turns++) {
        struct ft_envelope env;
        CHECK(turns <= message.len);
        problem.text[0] = '\0';
        enum ft_err err = ft_reader_next(&reader, &env, &problem);
        if (err == FT_OK)
            check_envelope(&env);
        else
            CHECK(problem.err == err && problem.text[0] &&
                  ft_utf8_is_valid(ft_slice_str(problem.text)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    enum ft_encoding encoding = bytes[0] & 1 ? FT_MSGPACK : FT_JSON;
    struct ft_slice message = ft_slice(bytes + 1, len - 1);
    if (encoding == FT_JSON && !ft_utf8_is_valid(message))
        return 0;
    uint8_t *scratch = malloc(message.len + 1);
    CHECK(scratch);
    check_message(encoding, message, scratch);
    free(scratch);
    return 0;
}
