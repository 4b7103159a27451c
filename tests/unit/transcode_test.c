/* Transcoding against protocol/vectors/data.json, msgpack-test-suite, jansson and msgpack-c. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdlib.h>

#include "protocol/base64.h"
#include "protocol/number.h"
#include "protocol/transcode.h"
#include "tests/unit/support/input.h"
#include "tests/unit/support/oracle.h"

#define ROOM (1u << 20)

/* Transcodes into memory that the caller frees. */
static struct ft_slice transcode(enum ft_data_kind from, struct ft_slice bytes,
                                 enum ft_encoding encoding, enum ft_data_kind *kind)
{
    struct ft_buffer out;
    ft_buffer_init(&out, ROOM);
    struct ft_slice exact = ft_input_exact(bytes);
    enum ft_err err = ft_transcode((struct ft_data){from, exact}, encoding, &out, kind);
    ft_input_free(exact);
    cr_assert_eq(err, FT_OK, "%s", ft_err_name(err));
    struct ft_slice result = ft_input_exact(ft_buffer_slice(&out));
    ft_buffer_fini(&out);
    return result;
}

static struct ft_slice to_msgpack(struct ft_slice json)
{
    enum ft_data_kind kind;
    struct ft_slice result = transcode(FT_DATA_JSON, json, FT_MSGPACK, &kind);
    cr_assert_eq(kind, FT_DATA_MSGPACK);
    return result;
}

static struct ft_slice to_json(struct ft_slice msgpack, enum ft_data_kind *kind)
{
    return transcode(FT_DATA_MSGPACK, msgpack, FT_JSON, kind);
}

static struct ft_slice text_at(const json_t *one, const char *key)
{
    const json_t *text = json_object_get(one, key);
    return ft_slice(json_string_value(text), json_string_length(text));
}

static json_t *load(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    cr_assert(root, "%s at line %d", error.text, error.line);
    return root;
}

Test(transcode, every_vector_from_json)
{
    json_t *vectors = load("protocol/vectors/data.json");
    json_t *cases = json_object_get(vectors, "from_json");
    cr_assert_gt(json_array_size(cases), 50);
    size_t i;
    json_t *one;
    json_array_foreach(cases, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        struct ft_slice json = text_at(one, "json");
        struct ft_slice wanted =
            ft_input_hex(json_string_value(json_object_get(one, "msgpack_hex")));
        cr_expect_eq(ft_data_check(FT_JSON, json, NULL), FT_OK, "%s", name);
        struct ft_slice got = to_msgpack(json);
        cr_expect(ft_slice_equal(got, wanted), "%s", name);
        ft_input_free(got);
        ft_input_free(wanted);
    }
    json_decref(vectors);
}

Test(transcode, every_vector_from_msgpack)
{
    json_t *vectors = load("protocol/vectors/data.json");
    json_t *cases = json_object_get(vectors, "from_msgpack");
    cr_assert_gt(json_array_size(cases), 30);
    size_t i;
    json_t *one;
    json_array_foreach(cases, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        struct ft_slice bytes =
            ft_input_hex(json_string_value(json_object_get(one, "msgpack_hex")));
        bool is_b64 = json_object_get(one, "b64") != NULL;
        cr_expect_eq(ft_data_check(FT_MSGPACK, bytes, NULL), FT_OK, "%s", name);
        enum ft_data_kind kind;
        struct ft_slice got = to_json(bytes, &kind);
        cr_expect_eq(kind, is_b64 ? FT_DATA_B64 : FT_DATA_JSON, "%s", name);
        cr_expect(ft_slice_equal(got, text_at(one, is_b64 ? "b64" : "json")), "%s: %.*s", name,
                  (int)got.len, got.ptr);
        ft_input_free(got);
        ft_input_free(bytes);
    }
    json_decref(vectors);
}

Test(transcode, every_refused_vector_is_no_data)
{
    json_t *vectors = load("protocol/vectors/data.json");
    json_t *cases = json_object_get(vectors, "refused");
    cr_assert_gt(json_array_size(cases), 30);
    size_t i;
    json_t *one;
    json_array_foreach(cases, i, one)
    {
        const char *hex = json_string_value(json_object_get(one, "input_hex"));
        struct ft_slice bytes = hex ? ft_input_hex(hex) : ft_input_exact(text_at(one, "input"));
        bool is_json = strcmp(json_string_value(json_object_get(one, "encoding")), "json") == 0;
        struct ft_problem problem = {0};
        cr_expect_eq(ft_data_check(is_json ? FT_JSON : FT_MSGPACK, bytes, &problem),
                     FT_ERR_BAD_DATA, "%s", json_string_value(json_object_get(one, "name")));
        cr_expect(problem.text[0]);
        ft_input_free(bytes);
    }
    json_decref(vectors);
}

/* --- jansson's tree against msgpack-c's --- */

static bool is_number(const msgpack_object *object, double number)
{
    if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        return (double)object->via.u64 == number;
    if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return (double)object->via.i64 == number;
    return (object->type == MSGPACK_OBJECT_FLOAT32 || object->type == MSGPACK_OBJECT_FLOAT64) &&
           object->via.f64 == number;
}

static bool is_string(const msgpack_object *object, const char *text, size_t len)
{
    if (object->type == MSGPACK_OBJECT_STR)
        return ft_slice_equal(ft_slice(object->via.str.ptr, object->via.str.size),
                              ft_slice(text, len));
    if (object->type != MSGPACK_OBJECT_BIN || len != FT_BASE64_LEN(object->via.bin.size))
        return false;
    char *base64 = malloc(len + 1);
    ft_base64_encode(ft_slice(object->via.bin.ptr, object->via.bin.size), base64);
    bool same = memcmp(base64, text, len) == 0;
    free(base64);
    return same;
}

static bool is_same(const json_t *json, const msgpack_object *object);

/* Each key of the map, and of a key that it has twice the last value. */
static bool is_map(const json_t *json, const msgpack_object_map *map)
{
    size_t distinct = 0;
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;
        bool is_overruled = false;
        for (uint32_t k = i + 1; k < map->size; k++)
            is_overruled |= msgpack_object_equal(*key, map->ptr[k].key);
        if (is_overruled)
            continue;
        distinct++;
        char *name = key->via.str.size ? strndup(key->via.str.ptr, key->via.str.size) : strdup("");
        const json_t *value = json_object_get(json, name);
        free(name);
        if (!value || !is_same(value, &map->ptr[i].val))
            return false;
    }
    return distinct == json_object_size(json);
}

static bool is_same(const json_t *json, const msgpack_object *object)
{
    switch (json_typeof(json)) {
    case JSON_NULL:
        return object->type == MSGPACK_OBJECT_NIL;
    case JSON_TRUE:
    case JSON_FALSE:
        return object->type == MSGPACK_OBJECT_BOOLEAN && object->via.boolean == json_is_true(json);
    case JSON_INTEGER:
    case JSON_REAL:
        return is_number(object, json_number_value(json));
    case JSON_STRING:
        return is_string(object, json_string_value(json), json_string_length(json));
    case JSON_ARRAY:
        if (object->type != MSGPACK_OBJECT_ARRAY || json_array_size(json) != object->via.array.size)
            return false;
        for (uint32_t i = 0; i < object->via.array.size; i++)
            if (!is_same(json_array_get(json, i), &object->via.array.ptr[i]))
                return false;
        return true;
    default:
        return object->type == MSGPACK_OBJECT_MAP && is_map(json, &object->via.map);
    }
}

/* Integers as reals: jansson has none above 2^63. */
static json_t *parse(struct ft_slice text)
{
    return json_loadb((const char *)text.ptr, text.len,
                      JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
}

static bool mean_the_same(struct ft_slice text, struct ft_slice bytes)
{
    json_t *json = parse(text);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    bool same = json &&
                msgpack_unpack_next(&unpacked, (const char *)bytes.ptr, bytes.len, NULL) ==
                    MSGPACK_UNPACK_SUCCESS &&
                is_same(json, &unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    json_decref(json);
    return same;
}

Test(transcode, random_json_means_the_same_in_msgpack, .timeout = 120)
{
    uint64_t state = 41;
    struct ft_buffer document;
    ft_buffer_init(&document, ROOM);
    for (int i = 0; i < 20000; i++) {
        ft_buffer_clear(&document);
        ft_input_json(&state, 4, &document);
        struct ft_slice json = ft_buffer_slice(&document);
        struct ft_slice msgpack = to_msgpack(json);
        cr_assert(mean_the_same(json, msgpack), "%.*s", (int)json.len, json.ptr);
        cr_assert_eq(ft_data_check(FT_MSGPACK, msgpack, NULL), FT_OK);
        ft_input_free(msgpack);
    }
    ft_buffer_fini(&document);
}

Test(transcode, random_msgpack_means_the_same_in_json_and_back, .timeout = 120)
{
    uint64_t state = 42;
    struct ft_buffer document;
    ft_buffer_init(&document, ROOM);
    int same = 0;
    for (int i = 0; i < 20000; i++) {
        ft_buffer_clear(&document);
        ft_input_msgpack(&state, 4, &document);
        struct ft_slice first = ft_buffer_slice(&document);
        enum ft_data_kind kind;
        struct ft_slice json = to_json(first, &kind);
        if (kind == FT_DATA_JSON) {
            cr_assert_eq(ft_data_check(FT_JSON, json, NULL), FT_OK);
            cr_assert(mean_the_same(json, first), "%.*s", (int)json.len, json.ptr);
            /* Back: the same value, kinds of numbers included, but for bytes and repeated keys. */
            struct ft_slice second = to_msgpack(json);
            struct ft_slice again = to_json(second, &kind);
            struct ft_slice third = to_msgpack(again);
            cr_assert(ft_slice_equal(second, third));
            same += ft_oracle_is_same(first, second);
            ft_input_free(second);
            ft_input_free(again);
            ft_input_free(third);
        }
        ft_input_free(json);
    }
    cr_assert_gt(same, 8000, "%d", same);
    ft_buffer_fini(&document);
}

Test(transcode, all_encodings_of_a_value_in_the_suite_become_the_same_json)
{
    json_t *suite = load("tests/data/msgpack-test-suite.json");
    int encodings = 0;
    const char *group;
    json_t *cases;
    json_object_foreach(suite, group, cases)
    {
        size_t i;
        json_t *one;
        json_array_foreach(cases, i, one)
        {
            if (json_object_get(one, "ext") || json_object_get(one, "timestamp"))
                continue;
            json_t *first = NULL;
            size_t k;
            json_t *hex;
            json_array_foreach(json_object_get(one, "msgpack"), k, hex)
            {
                struct ft_slice bytes = ft_input_hex(json_string_value(hex));
                enum ft_data_kind kind;
                struct ft_slice text = to_json(bytes, &kind);
                json_t *value = kind == FT_DATA_B64 ? json_stringn((const char *)text.ptr, text.len)
                                                    : parse(text);
                cr_assert(value, "%s", json_string_value(hex));
                if (!first)
                    first = json_incref(value);
                cr_expect(json_equal(first, value), "%s: %s", group, json_string_value(hex));
                if (kind == FT_DATA_JSON)
                    cr_expect(mean_the_same(text, bytes), "%s", json_string_value(hex));
                json_decref(value);
                ft_input_free(text);
                ft_input_free(bytes);
                encodings++;
            }
            json_decref(first);
        }
    }
    cr_assert_gt(encodings, 150);
    json_decref(suite);
}

/* --- hostile, and small --- */

Test(transcode, a_map_of_a_hundred_thousand_keys_is_not_quadratic, .timeout = 20)
{
    struct ft_buffer json;
    ft_buffer_init(&json, 8u << 20);
    ft_buffer_add_byte(&json, '{');
    for (int i = 0; i < 100000; i++) {
        char pair[48];
        /* Each key twice, with a long common front. */
        int n = snprintf(pair, sizeof(pair), "%s\"kkkkkkkkkkkkkkkkkkkk%d\":%d", i ? "," : "",
                         i % 50000, i);
        ft_buffer_add(&json, pair, (size_t)n);
    }
    ft_buffer_add_byte(&json, '}');
    struct ft_buffer out;
    ft_buffer_init(&out, 8u << 20);
    enum ft_data_kind kind;
    struct ft_data data = {FT_DATA_JSON, ft_buffer_slice(&json)};
    cr_assert_eq(ft_transcode(data, FT_MSGPACK, &out, &kind), FT_OK);
    static const uint8_t head[] = {0xDE, 50000 >> 8, 50000 & 255, 0xB5};
    cr_assert_eq(memcmp(out.ptr, head, sizeof(head)), 0);
    static const uint8_t tail[] = {'9', '9', '9', '9', 0xCE, 0, 1, 0x86, 0x9F};
    cr_assert_eq(memcmp(out.ptr + out.len - sizeof(tail), tail, sizeof(tail)), 0, "99,999 is last");
    ft_buffer_fini(&out);
    ft_buffer_fini(&json);
}

Test(transcode, more_than_65535_elements_take_32_bits)
{
    struct ft_buffer json;
    ft_buffer_init(&json, ROOM);
    ft_buffer_add_str(&json, "[0");
    for (int i = 1; i < 65536; i++)
        ft_buffer_add_str(&json, ",0");
    ft_buffer_add_byte(&json, ']');
    struct ft_slice out = to_msgpack(ft_buffer_slice(&json));
    static const uint8_t head[] = {0xDD, 0, 1, 0, 0, 0};
    cr_assert_eq(out.len, 5u + 65536u);
    cr_assert_eq(memcmp(out.ptr, head, sizeof(head)), 0);
    ft_input_free(out);
    ft_buffer_fini(&json);
}

static void expect_ceiling(struct ft_data data, enum ft_encoding encoding)
{
    struct ft_buffer out;
    enum ft_data_kind kind = FT_DATA_NONE;
    ft_buffer_init(&out, ROOM);
    cr_assert_eq(ft_transcode(data, encoding, &out, &kind), FT_OK);
    size_t len = out.len;
    ft_buffer_fini(&out);
    for (size_t max = 3; max < len + 3; max++) {
        ft_buffer_init(&out, max);
        ft_buffer_add_str(&out, "abc");
        kind = FT_DATA_NONE;
        cr_assert_eq(ft_transcode(data, encoding, &out, &kind), FT_ERR_TOO_LARGE, "%zu", max);
        cr_assert_eq(kind, FT_DATA_NONE);
        cr_assert_eq(out.len, 3, "what was there stays");
        ft_buffer_fini(&out);
    }
    ft_buffer_init(&out, len);
    cr_assert_eq(ft_transcode(data, encoding, &out, &kind), FT_OK, "%zu bytes are enough", len);
    ft_buffer_fini(&out);
}

Test(transcode, the_ceiling_of_the_buffer_holds_at_every_byte)
{
    struct ft_slice json =
        ft_slice_str("{\"a\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,1.5],"
                     "\"b\":{\"c\":null,\"d\":\"text\",\"c\":true},\"e\":-70000}");
    expect_ceiling((struct ft_data){FT_DATA_JSON, json}, FT_MSGPACK);
    struct ft_slice msgpack = to_msgpack(json);
    expect_ceiling((struct ft_data){FT_DATA_MSGPACK, msgpack}, FT_JSON);
    ft_input_free(msgpack);
    expect_ceiling((struct ft_data){FT_DATA_BYTES, ft_slice_str("abcd")}, FT_JSON);
    expect_ceiling((struct ft_data){FT_DATA_BYTES, ft_slice_str("abcd")}, FT_MSGPACK);
    expect_ceiling((struct ft_data){FT_DATA_B64, ft_slice_str("YWJj")}, FT_MSGPACK);
}

static void expect(enum ft_data_kind from, const char *bytes, enum ft_encoding encoding,
                   enum ft_data_kind to, const char *wanted)
{
    enum ft_data_kind kind;
    struct ft_slice got = transcode(from, ft_slice_str(bytes), encoding, &kind);
    cr_expect_eq(kind, to);
    cr_expect(ft_slice_equal(got, ft_slice_str(wanted)), "%.*s", (int)got.len, got.ptr);
    ft_input_free(got);
}

Test(transcode, bytes_are_bin_in_one_and_base64_in_the_other)
{
    expect(FT_DATA_BYTES, "abc", FT_JSON, FT_DATA_B64, "YWJj");
    expect(FT_DATA_BYTES, "abc", FT_MSGPACK, FT_DATA_MSGPACK,
           "\xC4\x03"
           "abc");
    expect(FT_DATA_B64, "YWI=", FT_MSGPACK, FT_DATA_MSGPACK,
           "\xC4\x02"
           "ab");
    expect(FT_DATA_B64, "YWI=", FT_JSON, FT_DATA_B64, "YWI=");
}

Test(transcode, the_same_encoding_is_a_copy)
{
    expect(FT_DATA_JSON, "[1.50]", FT_JSON, FT_DATA_JSON, "[1.50]");
    expect(FT_DATA_MSGPACK,
           "\xD9\x01"
           "a",
           FT_MSGPACK, FT_DATA_MSGPACK,
           "\xD9\x01"
           "a");
}

Test(transcode, no_data_and_broken_data_are_told)
{
    struct ft_buffer out;
    ft_buffer_init(&out, 64);
    enum ft_data_kind kind;
    cr_assert_eq(ft_transcode((struct ft_data){0}, FT_JSON, &out, &kind), FT_ERR_BAD_DATA);
    static const char *const broken[] = {
        "", "[1", "{\"a\"", "{\"a\":", "{\"a\":1", "[1,", "{", "nul"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct ft_data data = {FT_DATA_JSON, ft_slice_str(broken[i])};
        cr_expect_eq(ft_transcode(data, FT_MSGPACK, &out, &kind), FT_ERR_BAD_DATA, "%s", broken[i]);
        cr_expect_eq(out.len, 0);
    }
    struct ft_data cut = {FT_DATA_MSGPACK, ft_slice("\x92\x01", 2)};
    cr_assert_eq(ft_transcode(cut, FT_JSON, &out, &kind), FT_ERR_BAD_DATA);
    ft_buffer_fini(&out);
}

Test(transcode, doubles_print_as_they_read)
{
    uint64_t state = 43;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = ft_input_random(&state, UINT64_MAX) * 2 + ft_input_random(&state, 2);
        bits &= ~(UINT64_C(1) << (52 + ft_input_random(&state, 11)));
        double value;
        memcpy(&value, &bits, sizeof(value));
        char text[FT_DOUBLE_TEXT_MAX];
        size_t len = ft_double_print(value, text);
        cr_assert_eq(len, strlen(text));
        cr_assert_eq(ft_data_check(FT_JSON, ft_slice_str(text), NULL), FT_OK, "%s", text);
        double back = ft_double_read(ft_slice(text, len));
        cr_assert_eq(memcmp(&back, &value, sizeof(back)), 0, "%s", text);
        cr_assert(strpbrk(text, ".e"), "%s stays a float", text);
    }
}
