/*
 * From a key and a value to a field: one table for both encodings. Checks that a value has the type
 * that its key wants and says what was sent where it has not; whether an op got the keys that it
 * needs is for the one who carries it out. Pure; any thread.
 */
#include "protocol/envelope_fields.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "protocol/base64.h"
#include "protocol/json_scan.h"
#include "protocol/msgpack_scan.h"
#include "protocol/quote.h"

enum type {
    TYPE_OP,
    TYPE_ID,
    TYPE_TEXT,
    TYPE_TEXT_OR_NULL,
    TYPE_KEY,
    TYPE_UINT,
    TYPE_BOOL,
    TYPE_DATA,
    TYPE_B64,
    TYPE_TEXTS,
    TYPE_SINCE,
    TYPE_POS,
    TYPE_ARRAY
};

/* What a value of the type must be, for the sentence that says that it is not. */
static const char *const types[] = {
    [TYPE_OP] = "a string",
    [TYPE_ID] = "an integer from 0 to 9007199254740991 or a string of at most 64 bytes",
    [TYPE_TEXT] = "a string",
    [TYPE_TEXT_OR_NULL] = "a string or null",
    [TYPE_KEY] = "a string of at most 128 bytes",
    [TYPE_UINT] = "an integer from 0 to 9007199254740991",
    [TYPE_BOOL] = "true or false",
    [TYPE_DATA] = "any value",
    [TYPE_B64] = "a string of base64, standard alphabet, padded",
    [TYPE_TEXTS] = "an array of strings",
    [TYPE_SINCE] = "an array of strings or one string",
    [TYPE_POS] = "a string or an array of strings",
    [TYPE_ARRAY] = "an array",
};

_Static_assert(FT_ID_BYTES_MAX == 64 && FT_KEY_BYTES_MAX == 128, "the sentences name these limits");

struct key {
    char name[10];
    uint8_t len;
    uint8_t type; /* enum type */
    uint16_t field;
    uint16_t has; /* 0, which is the place of `op`: there is no such flag */
};

enum {
#define FT_KEY(slot, name, type, field)          INDEX_##name,
#define FT_KEY_HAS(slot, name, type, field, has) INDEX_##name,
#include "protocol/envelope_keys.def"
#undef FT_KEY
#undef FT_KEY_HAS
    KEYS
};

_Static_assert(KEYS <= 64, "the keys that were seen are the bits of one word");

_Static_assert(sizeof(struct key) == 16, "a row is found by a shift");

static const struct key keys[KEYS] = {
#define ROW(name, type, field, has) \
    {#name, sizeof(#name) - 1, TYPE_##type, offsetof(struct ft_envelope, field), has},
#define FT_KEY(slot, name, type, field) ROW(name, type, field, 0)
#define FT_KEY_HAS(slot, name, type, field, has) \
    ROW(name, type, field, offsetof(struct ft_envelope, has))
#include "protocol/envelope_keys.def"
#undef FT_KEY
#undef FT_KEY_HAS
#undef ROW
};

#define SLOTS 64

/* Where a key is in `keys`, plus one; 0 for no key. */
static const uint8_t slots[SLOTS] = {
#define FT_KEY(slot, name, type, field)          [slot] = INDEX_##name + 1,
#define FT_KEY_HAS(slot, name, type, field, has) [slot] = INDEX_##name + 1,
#include "protocol/envelope_keys.def"
#undef FT_KEY
#undef FT_KEY_HAS
};

/* Perfect for the keys of the table, found by search over the four factors. Needs two bytes. */
static inline unsigned key_slot(struct ft_slice name)
{
    size_t mid = name.len / 2;
    return (unsigned)(3 * name.len + 31u * name.ptr[0] + 9u * name.ptr[1] + name.ptr[mid]) % SLOTS;
}

static inline uint64_t load(const void *at, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, at, n);
    return word;
}

/* memcmp for names of 2 to 16 bytes: two loads that overlap, no call. */
static inline bool is_same_name(const char *a, const uint8_t *b, size_t n)
{
    if (n >= 8)
        return load(a, 8) == load(b, 8) && load(a + n - 8, 8) == load(b + n - 8, 8);
    if (n >= 4)
        return load(a, 4) == load(b, 4) && load(a + n - 4, 4) == load(b + n - 4, 4);
    return load(a, 2) == load(b, 2) && a[n - 1] == (char)b[n - 1];
}

static inline const struct key *find_key(struct ft_slice name)
{
    if (name.len < 2)
        return NULL;
    unsigned at = slots[key_slot(name)];
    if (at == 0)
        return NULL;
    const struct key *key = &keys[at - 1];
    return key->len == name.len && is_same_name(key->name, name.ptr, name.len) ? key : NULL;
}

static const struct ft_slice op_names[FT_OPS] = {
#define OP(op, name) [op] = {(const uint8_t *)(name), sizeof(name) - 1}
    OP(FT_OP_NONE, ""),     OP(FT_OP_SUB, "sub"),         OP(FT_OP_UNSUB, "unsub"),
    OP(FT_OP_PUB, "pub"),   OP(FT_OP_HISTORY, "history"), OP(FT_OP_PRESENCE, "presence"),
    OP(FT_OP_AUTH, "auth"), OP(FT_OP_PING, "ping"),       OP(FT_OP_WELCOME, "welcome"),
    OP(FT_OP_OK, "ok"),     OP(FT_OP_ERROR, "error"),     OP(FT_OP_MSG, "msg"),
    OP(FT_OP_GAP, "gap"),   OP(FT_OP_BYE, "bye"),         OP(FT_OP_PONG, "pong"),
#undef OP
};

const char *ft_op_name(enum ft_op op)
{
    return (unsigned)op < FT_OPS ? (const char *)op_names[op].ptr : "";
}

enum ft_op ft_op_of(struct ft_slice name)
{
    /* The one that is worth a short cut. */
    if (name.len == 3 && memcmp(name.ptr, "pub", 3) == 0)
        return FT_OP_PUB;
    for (unsigned op = FT_OP_NONE + 1; op < FT_OPS; op++)
        if (ft_slice_equal(name, op_names[op]))
            return (enum ft_op)op;
    return FT_OP_NONE;
}

/* --- what is wrong --- */

static size_t offset_of(const struct ft_pass *pass, const uint8_t *at)
{
    return (size_t)(at - pass->reader->message_.ptr);
}

static const char *encoding_name(const struct ft_pass *pass)
{
    return pass->reader->encoding == FT_JSON ? "JSON" : "MessagePack";
}

bool ft_pass_broken(struct ft_pass *pass, const struct ft_scan *scan)
{
    if (pass->err == FT_OK)
        pass->err = ft_problem_set(pass->problem, FT_ERR_BAD_ENVELOPE,
                                   "the message is not valid %s: %s, at byte %zu",
                                   encoding_name(pass), scan->fault, offset_of(pass, scan->at));
    return false;
}

/* Takes the messages of a history, whose data may have all the depth that data may have. */
static bool take_messages(struct ft_pass *pass, struct ft_scan *scan, struct ft_slice name,
                          const uint8_t *from)
{
    if (!ft_slice_equal(name, ft_slice_str("messages")))
        return false;
    struct ft_scan again = {.at = from, .end = scan->end, .deeper = FT_DEEPER_MAX};
    struct ft_value value;
    bool is_good = pass->reader->encoding == FT_JSON ? ft_json_value(&again, &value)
                                                     : ft_msgpack_value(&again, &value);
    if (!is_good)
        return false;
    scan->at = again.at;
    ft_pass_take(pass, name, &value);
    return true;
}

bool ft_pass_refuse(struct ft_pass *pass, struct ft_scan *scan, struct ft_slice name,
                    const uint8_t *from)
{
    if (!scan->is_rule)
        return ft_pass_broken(pass, scan);
    if (take_messages(pass, scan, name, from))
        return true;
    if (pass->err == FT_OK) {
        const struct key *key = find_key(name);
        char quoted[FT_QUOTE_MAX];
        pass->err = ft_problem_set(
            pass->problem,
            !key                     ? FT_ERR_BAD_ENVELOPE
            : key->type == TYPE_DATA ? FT_ERR_BAD_DATA
                                     : FT_ERR_BAD_FIELD,
            "the value of %s has something that cannot be read in both encodings: %s, at byte %zu",
            ft_quote(name, quoted), scan->fault, offset_of(pass, scan->at));
    }
    scan->at = from;
    bool is_over =
        pass->reader->encoding == FT_JSON ? ft_json_step_over(scan) : ft_msgpack_step_over(scan);
    return is_over || ft_pass_broken(pass, scan);
}

/* Says in words what was sent. */
static const char *describe(enum ft_encoding encoding, const struct ft_value *value, char *out,
                            size_t cap)
{
    char quoted[FT_QUOTE_MAX];
    switch (value->kind) {
    case FT_VALUE_NULL:
        return "null";
    case FT_VALUE_BOOL:
        return value->is_true ? "true" : "false";
    case FT_VALUE_UINT:
        snprintf(out, cap, "the integer %" PRIu64, value->num);
        return out;
    case FT_VALUE_INT:
        snprintf(out, cap, "the integer %" PRId64, (int64_t)value->num);
        return out;
    case FT_VALUE_NUMBER:
        if (encoding == FT_JSON)
            snprintf(out, cap, "the number %s", ft_quote(value->raw, quoted));
        else
            snprintf(out, cap, "the float %.17g", value->real);
        return out;
    case FT_VALUE_STR:
        snprintf(out, cap, "the string %s", ft_quote(value->text, quoted));
        return out;
    case FT_VALUE_BIN:
        snprintf(out, cap, "%zu raw bytes", value->text.len);
        return out;
    case FT_VALUE_ARRAY:
        return "an array";
    default:
        return "a map";
    }
}

#define DESCRIPTION_MAX (FT_QUOTE_MAX + 16)

/* Says that `value` is not what `key` wants. */
__attribute__((cold)) static void bad_field(struct ft_pass *pass, const struct key *key,
                                            const struct ft_value *value)
{
    if (pass->err != FT_OK)
        return;
    char words[DESCRIPTION_MAX];
    pass->err = ft_problem_set(pass->problem, FT_ERR_BAD_FIELD, "\"%s\" must be %s, not %s",
                               key->name, types[key->type],
                               describe(pass->reader->encoding, value, words, sizeof(words)));
}

/* Says that an array of strings holds `item`, which is none. */
__attribute__((cold)) static void bad_item(struct ft_pass *pass, const struct key *key,
                                           const struct ft_value *item)
{
    if (pass->err != FT_OK)
        return;
    char words[DESCRIPTION_MAX];
    pass->err = ft_problem_set(
        pass->problem, FT_ERR_BAD_FIELD, "\"%s\" must be %s, not an array that holds %s", key->name,
        types[key->type], describe(pass->reader->encoding, item, words, sizeof(words)));
}

/* --- fields --- */

struct ft_slice ft_pass_decode(struct ft_pass *pass, struct ft_slice text)
{
    struct ft_reader *reader = pass->reader;
    uint8_t *out = reader->scratch_ + reader->scratch_used_;
    size_t len = 0;
    if (!ft_json_decode(text, out, reader->scratch_len_ - reader->scratch_used_, &len))
        return text; /* cannot be: the scratch is as long as the message */
    reader->scratch_used_ += len;
    return ft_slice(out, len);
}

static void set_op(struct ft_pass *pass, const struct ft_value *value)
{
    pass->env->op_name = ft_pass_text(pass, value);
    pass->env->op = ft_op_of(pass->env->op_name);
}

static bool set_id(struct ft_pass *pass, const struct ft_value *value)
{
    if (value->kind == FT_VALUE_UINT && value->num <= FT_INT_MAX) {
        pass->env->id = (struct ft_id){.kind = FT_ID_INT, .num = value->num};
        return true;
    }
    if (value->kind != FT_VALUE_STR)
        return false;
    struct ft_slice text = ft_pass_text(pass, value);
    if (text.len > FT_ID_BYTES_MAX)
        return false;
    pass->env->id = (struct ft_id){.kind = FT_ID_STR, .str = text};
    return true;
}

static bool set_uint(struct ft_pass *pass, const struct key *key, const struct ft_value *value)
{
    if (value->kind != FT_VALUE_UINT || value->num > FT_INT_MAX)
        return false;
    char *env = (char *)pass->env;
    memcpy(env + key->field, &value->num, sizeof(value->num));
    env[key->has] = true;
    return true;
}

static bool set_bool(struct ft_pass *pass, const struct key *key, const struct ft_value *value)
{
    if (value->kind != FT_VALUE_BOOL)
        return false;
    char *env = (char *)pass->env;
    env[key->field] = value->is_true;
    if (key->has)
        env[key->has] = true;
    return true;
}

static bool set_text(struct ft_pass *pass, const struct key *key, const struct ft_value *value,
                     size_t max)
{
    if (value->kind != FT_VALUE_STR)
        return false;
    struct ft_slice text = ft_pass_text(pass, value);
    if (text.len > max)
        return false;
    memcpy((char *)pass->env + key->field, &text, sizeof(text));
    return true;
}

/* `data` and `b64` are two ways to say one thing, so an envelope has one of them. */
__attribute__((cold)) static void both_data(struct ft_pass *pass)
{
    if (pass->err == FT_OK)
        pass->err = ft_problem_set(pass->problem, FT_ERR_BAD_FIELD,
                                   "an envelope has either \"data\" or \"b64\", not both");
}

static void set_data(struct ft_pass *pass, const struct ft_value *value)
{
    if (pass->env->data.kind != FT_DATA_NONE) {
        both_data(pass);
        return;
    }
    bool is_json = pass->reader->encoding == FT_JSON;
    pass->env->data.kind = is_json ? FT_DATA_JSON : FT_DATA_MSGPACK;
    pass->env->data.bytes = value->raw;
}

__attribute__((noinline)) static bool set_b64(struct ft_pass *pass, const struct ft_value *value)
{
    if (value->kind != FT_VALUE_STR)
        return false;
    struct ft_slice text = ft_pass_text(pass, value);
    size_t len = 0;
    if (!ft_base64_decode(text, NULL, &len))
        return false;
    if (pass->env->data.kind != FT_DATA_NONE) {
        both_data(pass);
        return true;
    }
    struct ft_reader *reader = pass->reader;
    if (reader->encoding == FT_JSON) {
        pass->env->data = (struct ft_data){FT_DATA_B64, text};
        return true;
    }
    uint8_t *out = reader->scratch_ + reader->scratch_used_;
    if (!ft_base64_decode(text, out, &len))
        return false;
    reader->scratch_used_ += len;
    pass->env->data = (struct ft_data){FT_DATA_BYTES, ft_slice(out, len)};
    return true;
}

/* Not inlined, as what is off the path of a publish would only burden its stack frame.
 * A list of strings, into `list`; where the key takes one string too, that goes into `text`. */
__attribute__((noinline)) static bool set_texts(struct ft_pass *pass, const struct key *key,
                                                const struct ft_value *value, struct ft_list *list,
                                                struct ft_slice *text)
{
    if (text && value->kind == FT_VALUE_STR) {
        *text = ft_pass_text(pass, value);
        return true;
    }
    if (value->kind != FT_VALUE_ARRAY)
        return false;
    enum ft_encoding encoding = pass->reader->encoding;
    uint32_t count = 0;
    struct ft_value item;
    if (!ft_list_count(encoding, value->raw, &count, &item)) {
        bad_item(pass, key, &item);
        return true;
    }
    *list = (struct ft_list){.encoding = encoding, .count = count, .bytes = value->raw};
    return true;
}

/* Puts `value` into the field of `key`. False: it is not of the key's type. */
static bool set_field(struct ft_pass *pass, const struct key *key, const struct ft_value *value)
{
    struct ft_envelope *env = pass->env;
    switch ((enum type)key->type) {
    case TYPE_OP:
        if (value->kind != FT_VALUE_STR)
            return false;
        set_op(pass, value);
        return true;
    case TYPE_ID:
        return set_id(pass, value);
    case TYPE_TEXT_OR_NULL:
        return value->kind == FT_VALUE_NULL || set_text(pass, key, value, SIZE_MAX);
    case TYPE_TEXT:
        return set_text(pass, key, value, SIZE_MAX);
    case TYPE_KEY:
        return set_text(pass, key, value, FT_KEY_BYTES_MAX);
    case TYPE_UINT:
        return set_uint(pass, key, value);
    case TYPE_BOOL:
        return set_bool(pass, key, value);
    case TYPE_DATA:
        set_data(pass, value);
        return true;
    case TYPE_B64:
        return set_b64(pass, value);
    case TYPE_TEXTS:
        return set_texts(pass, key, value, &env->topics, NULL);
    case TYPE_SINCE:
        env->has_since_text = value->kind == FT_VALUE_STR;
        return set_texts(pass, key, value, &env->since, &env->since_text);
    case TYPE_POS:
        return set_texts(pass, key, value, &env->positions, &env->pos);
    case TYPE_ARRAY:
        if (value->kind != FT_VALUE_ARRAY)
            return false;
        env->messages = value->raw;
        return true;
    }
    return false;
}

/* The key was there already. An id that was sent twice is no id that an answer could carry. */
__attribute__((cold)) static void repeated(struct ft_pass *pass, const struct key *key)
{
    if (key->type == TYPE_ID)
        pass->env->id = (struct ft_id){.kind = FT_ID_NONE};
    if (pass->err == FT_OK)
        pass->err = ft_problem_set(pass->problem, FT_ERR_BAD_ENVELOPE,
                                   "the envelope has the key \"%s\" more than once", key->name);
}

void ft_pass_take(struct ft_pass *pass, struct ft_slice name, const struct ft_value *value)
{
    const struct key *key = find_key(name);
    if (!key)
        return;
    uint64_t bit = UINT64_C(1) << (key - keys);
    if (pass->seen & bit) {
        repeated(pass, key);
        return;
    }
    pass->seen |= bit;
    if (!set_field(pass, key, value))
        bad_field(pass, key, value);
}
