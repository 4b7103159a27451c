/*
 * Requests for the past, and their answers taken apart. Does not send. Pure; the client's thread.
 */
#include "clients/c/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "broker/base/alloc.h"
#include "clients/c/positions.h"
#include "protocol/base64.h"
#include "protocol/envelope.h"
#include "protocol/quote.h"
#include "protocol/topic.h"
#include "protocol/writer.h"

struct ft_history_request {
    uint64_t number;
    bool is_asked;
    uint32_t last, limit;
    char since[FT_POSITION_BYTES_MAX]; /* "": none */
    fantail_history_fn *done;
    void *user;
    struct ft_history_request *prev, *next;
    char topic[]; /* with a NUL */
};

/* The messages of an answer, and the memory that they lie in. */
struct past {
    struct fantail_message *messages;
    size_t count, room;
    uint8_t *scratch; /* the reader's, for strings with escapes */
    uint8_t *bytes;   /* decoded base64; `used` of it */
    size_t used;
};

void ft_histories_init(struct ft_histories *histories, struct fantail *client)
{
    *histories = (struct ft_histories){.client_ = client};
}

static void free_one(struct ft_histories *histories, struct ft_history_request *request)
{
    histories->unasked_ -= !request->is_asked;
    histories->count--;
    DL_DELETE(histories->all_, request);
    free(request);
}

void ft_histories_fini(struct ft_histories *histories)
{
    while (histories->all_)
        free_one(histories, histories->all_);
}

static enum ft_err check(const struct ft_histories *histories, const char *topic,
                         const struct fantail_history_options *options, struct ft_problem *problem)
{
    struct ft_position_parts pos;
    char quoted[FT_QUOTE_MAX];
    if (histories->count >= FT_HISTORIES_MAX)
        return ft_problem_set(problem, FT_ERR_TOO_MANY, "%d histories are waiting for an answer",
                              FT_HISTORIES_MAX);
    if (options->since && strlen(options->since) >= FT_POSITION_BYTES_MAX)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "the position %s has more than %d bytes",
                              ft_quote(ft_slice_str(options->since), quoted),
                              FT_POSITION_BYTES_MAX - 1);
    if (options->since) {
        enum ft_err err = ft_position_read(ft_slice_str(options->since), &pos, problem);
        if (err)
            return err;
    }
    if (options->since ? options->last > 0 : options->limit > 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "a history takes either last, or since and limit");
    return ft_topic_check(ft_slice_str(topic), problem);
}

enum ft_err ft_histories_add(struct ft_histories *histories, const char *topic,
                             const struct fantail_history_options *options,
                             fantail_history_fn *done, struct ft_problem *problem)
{
    static const struct fantail_history_options defaults = {0};
    if (!options)
        options = &defaults;
    enum ft_err err = check(histories, topic, options, problem);
    if (err)
        return err;
    size_t len = strlen(topic) + 1;
    struct ft_history_request *request = ft_alloc_zero(sizeof(*request) + len);
    memcpy(request->topic, topic, len);
    request->last = options->last;
    request->limit = options->limit;
    if (options->since)
        snprintf(request->since, sizeof(request->since), "%s", options->since);
    request->done = done;
    request->user = options->user;
    DL_APPEND(histories->all_, request);
    histories->count++;
    histories->unasked_++;
    return FT_OK;
}

static void write_request(const struct ft_history_request *request, enum ft_encoding encoding,
                          struct ft_buffer *envelope)
{
    char id[24];
    snprintf(id, sizeof(id), "%c%" PRIu64, FT_HISTORY_ID, request->number);
    struct ft_writer writer;
    ft_writer_init(&writer, encoding, envelope);
    ft_write_map(&writer,
                 3u + (request->last > 0) + (request->since[0] != '\0') + (request->limit > 0));
    ft_write_key(&writer, "op");
    ft_write_str(&writer, ft_slice_str("history"));
    ft_write_key(&writer, "id");
    ft_write_str(&writer, ft_slice_str(id));
    ft_write_key(&writer, "topic");
    ft_write_str(&writer, ft_slice_str(request->topic));
    if (request->last > 0) {
        ft_write_key(&writer, "last");
        ft_write_uint(&writer, request->last);
    }
    if (request->since[0] != '\0') {
        ft_write_key(&writer, "since");
        ft_write_str(&writer, ft_slice_str(request->since));
    }
    if (request->limit > 0) {
        ft_write_key(&writer, "limit");
        ft_write_uint(&writer, request->limit);
    }
}

bool ft_histories_ask(struct ft_histories *histories, enum ft_encoding encoding,
                      struct ft_buffer *envelope)
{
    if (histories->unasked_ == 0)
        return false;
    struct ft_history_request *request;
    DL_FOREACH(histories->all_, request)
    if (!request->is_asked)
        break;
    request->is_asked = true;
    request->number = ++histories->last_request_;
    histories->unasked_--;
    write_request(request, encoding, envelope);
    return true;
}

void ft_histories_break(struct ft_histories *histories)
{
    struct ft_history_request *request;
    DL_FOREACH(histories->all_, request)
    request->is_asked = false;
    histories->unasked_ = histories->count;
}

static struct fantail_bytes as_bytes(struct ft_slice slice)
{
    return (struct fantail_bytes){.ptr = slice.ptr, .len = slice.len};
}

static void add_message(struct past *past, const struct ft_envelope *env)
{
    if (past->count == past->room) {
        past->room = past->room ? past->room * 2 : 16;
        past->messages = ft_realloc(past->messages, past->room * sizeof(*past->messages));
    }
    struct fantail_message *message = &past->messages[past->count++];
    *message = (struct fantail_message){
        .topic = as_bytes(env->topic),
        .kind = env->data.kind == FT_DATA_JSON      ? FANTAIL_JSON
                : env->data.kind == FT_DATA_MSGPACK ? FANTAIL_MSGPACK
                                                    : FANTAIL_BYTES,
        .data = as_bytes(env->data.bytes),
        .pos = as_bytes(env->pos),
        .at_ms = env->at_ms,
    };
    size_t len = 0;
    if (env->data.kind == FT_DATA_B64 &&
        ft_base64_decode(env->data.bytes, past->bytes + past->used, &len)) {
        message->data = as_bytes(ft_slice(past->bytes + past->used, len));
        past->used += len;
    }
}

/* Says whether an encoded array has no element, which is no array of envelopes. */
static bool is_empty(enum ft_encoding encoding, struct ft_slice array)
{
    if (encoding == FT_MSGPACK)
        return array.len == 1 && array.ptr[0] == 0x90;
    for (size_t i = 1; i + 1 < array.len; i++)
        if (!memchr(" \t\r\n", array.ptr[i], 4))
            return false;
    return true;
}

/* Takes the array apart; its elements are envelopes without an `op`. */
static enum ft_err read_past(struct past *past, enum ft_encoding encoding, struct ft_slice array,
                             struct ft_problem *problem)
{
    if (!array.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_ENVELOPE, "the answer has no messages");
    if (is_empty(encoding, array))
        return FT_OK;
    past->scratch = ft_alloc(array.len);
    past->bytes = ft_alloc(array.len);
    struct ft_reader reader;
    enum ft_err err = ft_reader_begin(&reader, encoding, array, past->scratch, problem);
    while (!err && ft_reader_has_more(&reader)) {
        struct ft_envelope env;
        err = ft_reader_next(&reader, &env, problem);
        if (!err)
            add_message(past, &env);
    }
    return err;
}

/* Finds what is asked for under an id like "h12". A peer chose it. */
static struct ft_history_request *find(struct ft_histories *histories, struct ft_slice id)
{
    char text[24];
    struct ft_history_request *request;
    DL_FOREACH(histories->all_, request)
    {
        int len = snprintf(text, sizeof(text), "%c%" PRIu64, FT_HISTORY_ID, request->number);
        if (request->is_asked && ft_slice_equal(id, ft_slice(text, (size_t)len)))
            return request;
    }
    return NULL;
}

static void end(struct ft_histories *histories, struct ft_history_request *request,
                const struct fantail_history *answer)
{
    fantail_history_fn *done = request->done;
    void *user = request->user;
    free_one(histories, request); /* first: the callback may ask for the next */
    done(histories->client_, answer, user);
}

bool ft_histories_answer(struct ft_histories *histories, struct ft_slice id,
                         const struct fantail_history *answer, enum ft_encoding encoding,
                         struct ft_slice messages)
{
    if (id.len == 0 || id.ptr[0] != FT_HISTORY_ID)
        return false;
    struct ft_history_request *request = find(histories, id);
    if (!request)
        return false;
    struct past past = {0};
    struct ft_problem problem;
    struct fantail_history whole = *answer;
    if (answer->code == 0 && read_past(&past, encoding, messages, &problem) != FT_OK) {
        whole.code = ft_err_wire(FT_ERR_INTERNAL);
        whole.message = problem.text;
    } else {
        whole.messages = past.messages;
        whole.count = past.count;
    }
    end(histories, request, &whole);
    free(past.messages);
    free(past.scratch);
    free(past.bytes);
    return true;
}

void ft_histories_end_all(struct ft_histories *histories)
{
    static const struct fantail_history closed = {
        .code = FANTAIL_UNAVAILABLE,
        .message = "the client is closed",
    };
    while (histories->all_)
        end(histories, histories->all_, &closed);
}
