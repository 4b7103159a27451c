/*
 * The reader's frame: from a WebSocket message to one envelope after another, and the lists inside
 * them. Does not know what keys mean (envelope_fields.c) nor how pairs are laid out (envelope_json.c,
 * envelope_msgpack.c). Pure; any thread.
 */
#include "protocol/envelope.h"

#include "protocol/envelope_fields.h"
#include "protocol/json_scan.h"
#include "protocol/msgpack_scan.h"
#include "protocol/utf8.h"

static bool is_json(const struct ft_reader *reader)
{
    return reader->encoding == FT_JSON;
}

static struct ft_scan scan_at(const struct ft_reader *reader, size_t at)
{
    struct ft_scan scan = ft_scan_of(reader->message_);
    if (at > 0) /* an empty message may be a NULL one */
        scan.at += at;
    return scan;
}

static size_t offset_in(const struct ft_reader *reader, const struct ft_scan *scan)
{
    return (size_t)(scan->at - reader->message_.ptr);
}

static enum ft_err not_an_envelope(struct ft_problem *problem)
{
    return ft_problem_set(problem, FT_ERR_BAD_ENVELOPE,
                          "the message must be an envelope, which is a map, or an array of them");
}

/* Looks at the first byte: a map stays where it is, an array is entered. */
static enum ft_err begin_json(struct ft_reader *reader, struct ft_problem *problem)
{
    struct ft_scan scan = scan_at(reader, 0);
    ft_json_skip_space(&scan);
    if (scan.at == scan.end || (*scan.at != '{' && *scan.at != '['))
        return not_an_envelope(problem);
    reader->left_ = 1;
    if (*scan.at == '[') {
        reader->in_array_ = true;
        scan.at++;
        ft_json_skip_space(&scan);
        bool is_empty = scan.at < scan.end && *scan.at == ']';
        reader->left_ = is_empty ? 0 : UINT64_MAX;
    }
    reader->at_ = offset_in(reader, &scan);
    return FT_OK;
}

static enum ft_err begin_msgpack(struct ft_reader *reader, struct ft_problem *problem)
{
    struct ft_scan scan = scan_at(reader, 0);
    struct ft_value head;
    if (!ft_msgpack_item(&scan, &head))
        return ft_problem_set(problem, FT_ERR_BAD_ENVELOPE,
                              "the message is not valid MessagePack: %s, at byte %zu", scan.fault,
                              offset_in(reader, &scan));
    if (head.kind != FT_VALUE_MAP && head.kind != FT_VALUE_ARRAY)
        return not_an_envelope(problem);
    reader->left_ = 1;
    if (head.kind == FT_VALUE_ARRAY) {
        reader->in_array_ = true;
        reader->left_ = head.num;
        reader->at_ = offset_in(reader, &scan);
    }
    return FT_OK;
}

enum ft_err ft_reader_begin(struct ft_reader *reader, enum ft_encoding encoding,
                            struct ft_slice message, uint8_t *scratch, struct ft_problem *problem)
{
    *reader = (struct ft_reader){.encoding = encoding,
                                 .message_ = message,
                                 .scratch_ = scratch,
                                 .scratch_len_ = message.len};
    enum ft_err err =
        is_json(reader) ? begin_json(reader, problem) : begin_msgpack(reader, problem);
    reader->done_ = err != FT_OK;
    return err;
}

bool ft_reader_has_more(const struct ft_reader *reader)
{
    return !reader->done_;
}

bool ft_reader_is_array(const struct ft_reader *reader)
{
    return reader->in_array_;
}

bool ft_reader_is_empty(const struct ft_reader *reader)
{
    return reader->in_array_ && reader->left_ == 0;
}

bool ft_reader_is_broken(const struct ft_reader *reader)
{
    return reader->broken_;
}

/* Steps over an element of the array that is no map, and says so. False: the syntax is broken. */
static bool skip_element(struct ft_pass *pass, struct ft_scan *scan)
{
    struct ft_value value;
    const uint8_t *from = scan->at;
    bool is_good =
        is_json(pass->reader) ? ft_json_value(scan, &value) : ft_msgpack_value(scan, &value);
    if (is_good) {
        pass->err = ft_problem_set(pass->problem, FT_ERR_BAD_ENVELOPE,
                                   "every element of the array must be an envelope, a map; the one"
                                   " at byte %zu is none",
                                   (size_t)(from - pass->reader->message_.ptr));
        return true;
    }
    return ft_pass_refuse(pass, scan, ft_slice_str(""), from);
}

static bool is_map_next(const struct ft_pass *pass, const struct ft_scan *scan)
{
    if (scan->at == scan->end)
        return false;
    uint8_t byte = *scan->at;
    if (is_json(pass->reader))
        return byte == '{';
    return (byte & 0xF0) == 0x80 || byte == 0xDE || byte == 0xDF;
}

static bool read_one(struct ft_pass *pass, struct ft_scan *scan)
{
    if (!is_map_next(pass, scan))
        return skip_element(pass, scan);
    return is_json(pass->reader) ? ft_walk_json(pass, scan) : ft_walk_msgpack(pass, scan);
}

/* After an element of a JSON array: stands at the next one, or after the bracket. */
static bool next_of_array(struct ft_reader *reader, struct ft_scan *scan)
{
    ft_json_skip_space(scan);
    if (scan->at < scan->end && *scan->at == ',') {
        scan->at++;
        ft_json_skip_space(scan);
        return true;
    }
    if (scan->at == scan->end || *scan->at != ']')
        return ft_scan_broken(scan, "a comma or ] was expected after an envelope");
    scan->at++;
    reader->left_ = 0;
    return true;
}

/* After an envelope: finds the next one or makes sure that nothing follows the last. */
static bool go_on(struct ft_pass *pass, struct ft_scan *scan)
{
    struct ft_reader *reader = pass->reader;
    bool is_open_array = is_json(reader) && reader->in_array_;
    if (!is_open_array)
        reader->left_--;
    else if (!next_of_array(reader, scan))
        return ft_pass_broken(pass, scan);
    if (reader->left_ > 0)
        return true;
    reader->done_ = true;
    if (is_json(reader))
        ft_json_skip_space(scan);
    if (scan->at == scan->end)
        return true;
    ft_scan_broken(scan, "more bytes after its end");
    return ft_pass_broken(pass, scan);
}

/* memset, through a pointer that the compiler cannot see through: of known size gcc makes it a
 * `rep stos`, which takes 15 ns to start; libc's own takes 5. */
static void *(*const volatile clear)(void *, int, size_t) = memset;

enum ft_err ft_reader_next(struct ft_reader *reader, struct ft_envelope *env,
                           struct ft_problem *problem)
{
    clear(env, 0, sizeof(*env));
    if (reader->done_ || reader->left_ == 0) {
        reader->done_ = true;
        return ft_problem_set(problem, FT_ERR_BAD_ENVELOPE,
                              "an array of envelopes must hold one at least");
    }
    struct ft_pass pass = {.reader = reader, .env = env, .problem = problem};
    struct ft_scan scan = scan_at(reader, reader->at_);
    if (!read_one(&pass, &scan) || !go_on(&pass, &scan)) {
        reader->done_ = reader->broken_ = true;
        env->id = (struct ft_id){.kind = FT_ID_NONE}; /* it may be half of one */
    }
    reader->at_ = offset_in(reader, &scan);
    return pass.err;
}

/* --- lists --- */

/*
 * Reads the element of an array at scan->at and what stands after it, so that the next call finds the
 * next one. The array is good, its elements may be of any kind.
 */
static void next_item(enum ft_encoding encoding, struct ft_scan *scan, struct ft_value *item)
{
    if (encoding == FT_MSGPACK) {
        (void)ft_msgpack_value(scan, item);
        return;
    }
    ft_json_skip_space(scan);
    (void)ft_json_value(scan, item);
    ft_json_skip_space(scan);
    scan->at++;
}

/* Enters an array: stands at its first element. */
static void enter_array(enum ft_encoding encoding, struct ft_scan *scan, struct ft_value *head)
{
    if (encoding == FT_MSGPACK) {
        (void)ft_msgpack_item(scan, head);
        return;
    }
    scan->at++;
    ft_json_skip_space(scan);
}

/* JSON does not say how many elements come: the array ends with an empty one's bracket, or with the
 * bytes, as next_item() steps over the bracket after the last element. */
static bool is_list_end(enum ft_encoding encoding, const struct ft_scan *scan)
{
    return encoding == FT_JSON && (scan->at == scan->end || *scan->at == ']');
}

bool ft_list_count(enum ft_encoding encoding, struct ft_slice array, uint32_t *count,
                   struct ft_value *item)
{
    struct ft_scan scan = ft_scan_of(array);
    struct ft_value head = {.num = UINT64_MAX};
    enter_array(encoding, &scan, &head);
    uint32_t n = 0;
    for (; n < head.num && !is_list_end(encoding, &scan); n++) {
        next_item(encoding, &scan, item);
        if (item->kind != FT_VALUE_STR)
            return false;
    }
    *count = n;
    return true;
}

enum ft_err ft_list_next(const struct ft_list *list, size_t *at, uint8_t *buf, size_t cap,
                         struct ft_slice *item)
{
    struct ft_scan scan = ft_scan_of(list->bytes);
    struct ft_value value;
    if (*at == 0)
        enter_array(list->encoding, &scan, &value);
    else
        scan.at += *at;
    next_item(list->encoding, &scan, &value);

    size_t len = value.text.len;
    if (list->encoding == FT_JSON && value.has_escapes) {
        if (!ft_json_decode(value.text, buf, cap, &len))
            return FT_ERR_TOO_LARGE;
    } else {
        if (len > cap)
            return FT_ERR_TOO_LARGE;
        memcpy(buf, value.text.ptr, len);
    }
    *at = (size_t)(scan.at - list->bytes.ptr);
    *item = ft_slice(buf, len);
    return FT_OK;
}

/* --- data alone --- */

enum ft_err ft_data_check(enum ft_encoding encoding, struct ft_slice bytes,
                          struct ft_problem *problem)
{
    if (encoding == FT_JSON && !ft_utf8_is_valid(bytes))
        return ft_problem_set(problem, FT_ERR_BAD_DATA, "the data is JSON that is not UTF-8");
    struct ft_scan scan = ft_scan_of(bytes);
    struct ft_value value;
    bool is_good;
    if (encoding == FT_JSON) {
        ft_json_skip_space(&scan);
        is_good = ft_json_value(&scan, &value);
        ft_json_skip_space(&scan);
    } else {
        is_good = ft_msgpack_value(&scan, &value);
    }
    if (is_good && scan.at < scan.end)
        is_good = ft_scan_broken(&scan, "more bytes after its end");
    if (is_good)
        return FT_OK;
    return ft_problem_set(
        problem, FT_ERR_BAD_DATA, "the data cannot be read as %s: %s, at byte %zu",
        encoding == FT_JSON ? "JSON" : "MessagePack", scan.fault, (size_t)(scan.at - bytes.ptr));
}
