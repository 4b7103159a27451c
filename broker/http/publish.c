/*
 * POST /v1/publish: reads a body as a message of `pub` envelopes without their `op`, hands them to the way
 * that all publishes take (hub/publish.h), and answers when every one has its number. Of an array each element
 * stands for itself; but nothing is published of a body whose syntax is broken. The worker's thread.
 */
#include "broker/http/publish.h"

#include "broker/base/alloc.h"
#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/hub/publish.h"
#include "broker/hub/worker.h"
#include "protocol/number.h"
#include "protocol/utf8.h"

#include <stddef.h>
#include <stdlib.h>

/* Publications of one request (SPEC.md section 9). */
#define MOST 1000

enum outcome { OUTCOME_WAITS, OUTCOME_POS, OUTCOME_DUPLICATE, OUTCOME_EPHEMERAL, OUTCOME_ERROR };

struct result {
    uint64_t at; /* the offset; of an error, where it is in `errors` */
    enum outcome outcome;
};

/* An error as it lies in `errors`: the text follows, `len` bytes. */
struct failure {
    uint32_t code, retry_ms, len;
};

/* A request whose publications wait for their numbers. */
struct publishing {
    enum ft_encoding encoding; /* of the answer */
    bool is_array, is_reading; /* reading: there may be more to publish */
    struct ft_buffer errors;
    uint32_t count;
    struct result results[];
};

/* ---- the answer ---- */

static void write_pos(const struct ft_asker *asker, struct ft_writer *w, uint64_t offset)
{
    char text[FT_STREAM_NAME_LEN + 1 + FT_UINT_TEXT_MAX];
    memcpy(text, ft_journal_stream(asker->worker->hub->journal), FT_STREAM_NAME_LEN);
    text[FT_STREAM_NAME_LEN] = '.';
    size_t digits = ft_uint_print(offset, text + FT_STREAM_NAME_LEN + 1);
    ft_write_key(w, "pos");
    ft_write_str(w, ft_slice(text, FT_STREAM_NAME_LEN + 1 + digits));
}

static void write_failure(const struct publishing *p, struct ft_writer *w, uint64_t at)
{
    struct failure failure;
    memcpy(&failure, p->errors.ptr + at, sizeof(failure));
    ft_write_map(w, 1);
    ft_write_key(w, "error");
    ft_write_map(w, failure.retry_ms ? 3 : 2);
    ft_write_key(w, "code");
    ft_write_uint(w, failure.code);
    ft_write_key(w, "message");
    ft_write_str(w, ft_slice(p->errors.ptr + at + sizeof(failure), failure.len));
    if (failure.retry_ms) {
        ft_write_key(w, "retry");
        ft_write_uint(w, failure.retry_ms);
    }
}

static void write_result(const struct ft_asker *asker, const struct publishing *p,
                         struct ft_writer *w, const struct result *result)
{
    switch (result->outcome) {
    case OUTCOME_ERROR:
        write_failure(p, w, result->at);
        return;
    case OUTCOME_EPHEMERAL:
        ft_write_map(w, 0);
        return;
    case OUTCOME_DUPLICATE:
        ft_write_map(w, 2);
        write_pos(asker, w, result->at);
        ft_write_key(w, "duplicate");
        ft_write_bool(w, true);
        return;
    default:
        ft_write_map(w, 1);
        write_pos(asker, w, result->at);
    }
}

static void answer(struct ft_exchange *x)
{
    const struct publishing *p = x->state;
    struct ft_writer w;
    ft_answer_begin(x, p->encoding, &w);
    if (p->is_array) {
        ft_write_map(&w, 1);
        ft_write_key(&w, "results");
        ft_write_array(&w, p->count);
    }
    for (uint32_t i = 0; i < p->count; i++)
        write_result(&x->asker, p, &w, &p->results[i]);
    ft_answer_end(x);
}

/* ---- waiting for numbers ---- */

static struct ft_exchange *exchange_of(struct ft_asker *asker)
{
    return (struct ft_exchange *)((char *)asker - offsetof(struct ft_exchange, asker));
}

static void on_published(struct ft_asker *asker, struct ft_id id,
                         const struct ft_publication *publication)
{
    struct ft_exchange *x = exchange_of(asker);
    struct publishing *p = x->state;
    struct result *result = &p->results[id.num];
    result->at = publication->offset;
    result->outcome = publication->is_duplicate   ? OUTCOME_DUPLICATE
                      : publication->is_ephemeral ? OUTCOME_EPHEMERAL
                                                  : OUTCOME_POS;
    if (asker->unacked == 0 && !p->is_reading)
        answer(x);
}

static void on_hold(struct ft_asker *asker, bool on)
{
    ft_exchange_hold(exchange_of(asker), on);
}

static const struct ft_asker_ops asker_ops = {on_published, on_hold};

static void free_publishing(struct ft_exchange *x)
{
    struct publishing *p = x->state;
    ft_worker_forget_pending(&x->asker);
    ft_buffer_fini(&p->errors);
    free(p);
    x->state = NULL;
}

static struct publishing *begin(struct ft_exchange *x, const struct ft_http_request *request,
                                uint32_t count)
{
    struct publishing *p = ft_alloc_zero(sizeof(*p) + count * sizeof(p->results[0]));
    p->encoding = ft_negotiate_encoding(request->head, FT_JSON);
    p->is_reading = true;
    p->count = count;
    ft_buffer_init(&p->errors, MOST * (sizeof(struct failure) + FT_PROBLEM_TEXT_MAX));
    x->state = p;
    x->free_state = free_publishing;
    x->asker.ops = &asker_ops;
    return p;
}

static void end(struct ft_exchange *x)
{
    struct publishing *p = x->state;
    p->is_reading = false;
    if (x->asker.unacked == 0)
        answer(x);
}

/* ---- publishing ---- */

/* Publishes number `i`. A publication is as long as one that a WebSocket carries, not as a body may be. */
static enum ft_err publish(struct ft_exchange *x, struct ft_envelope *envelope, uint32_t i,
                           struct ft_problem *problem)
{
    size_t most = x->asker.worker->options->message_bytes;
    if (envelope->data.bytes.len > most)
        return ft_problem_set(problem, FT_ERR_TOO_LARGE,
                              "data has %zu bytes, but %zu are the most (limits.message)",
                              envelope->data.bytes.len, most);
    envelope->id = (struct ft_id){.kind = FT_ID_INT, .num = i};
    return ft_publish(&x->asker, envelope, problem);
}

void ft_http_publish(struct ft_exchange *x, const struct ft_http_request *request,
                     struct ft_envelope *envelope)
{
    struct ft_problem problem;
    (void)begin(x, request, 1);
    if (publish(x, envelope, 0, &problem) == FT_OK)
        end(x);
    else
        ft_exchange_problem(x, request, &problem);
}

static void note_failure(struct publishing *p, struct result *result,
                         const struct ft_problem *problem)
{
    struct failure failure = {(uint32_t)ft_err_wire(problem->err), problem->retry_ms,
                              (uint32_t)strlen(problem->text)};
    result->outcome = OUTCOME_ERROR;
    result->at = p->errors.len;
    ft_buffer_add(&p->errors, &failure, sizeof(failure));
    ft_buffer_add(&p->errors, problem->text, failure.len);
}

/* A body on its way through the reader. */
struct body {
    enum ft_encoding encoding;
    struct ft_slice bytes;
    uint8_t *scratch;
};

/* Counts the elements of an array, and makes sure that the whole of it can be read. */
static enum ft_err count_elements(const struct body *body, uint32_t *count,
                                  struct ft_problem *problem)
{
    struct ft_reader reader;
    struct ft_envelope envelope;
    enum ft_err err = ft_reader_begin(&reader, body->encoding, body->bytes, body->scratch, problem);
    if (err == FT_OK && ft_reader_is_empty(&reader)) {
        *count = 0;
        return ft_data_check(body->encoding, body->bytes, problem);
    }
    uint32_t n = 0;
    while (err == FT_OK && ft_reader_has_more(&reader)) {
        enum ft_err failed = ft_reader_next(&reader, &envelope, problem);
        if (failed != FT_OK && ft_reader_is_broken(&reader))
            return failed;
        if (++n > MOST)
            return ft_problem_set(problem, FT_ERR_TOO_LARGE,
                                  "the array has more than %d publications", MOST);
    }
    *count = n;
    return err;
}

static void publish_array(struct ft_exchange *x, const struct ft_http_request *request,
                          const struct body *body)
{
    struct ft_problem problem;
    struct ft_reader reader;
    struct ft_envelope envelope;
    uint32_t count;
    enum ft_err err = count_elements(body, &count, &problem);
    if (err == FT_OK)
        err = ft_reader_begin(&reader, body->encoding, body->bytes, body->scratch, &problem);
    if (err != FT_OK) {
        ft_exchange_problem(x, request, &problem);
        return;
    }
    struct publishing *p = begin(x, request, count);
    p->is_array = true;
    for (uint32_t i = 0; i < count; i++) {
        err = ft_reader_next(&reader, &envelope, &problem);
        if (err == FT_OK)
            err = publish(x, &envelope, i, &problem);
        if (err != FT_OK)
            note_failure(p, &p->results[i], &problem);
    }
    end(x);
}

static void publish_body(struct ft_exchange *x, const struct ft_http_request *request,
                         const struct body *body)
{
    struct ft_problem problem;
    struct ft_reader reader;
    struct ft_envelope envelope;
    enum ft_err err =
        ft_reader_begin(&reader, body->encoding, body->bytes, body->scratch, &problem);
    if (err == FT_OK && ft_reader_is_array(&reader)) {
        publish_array(x, request, body);
        return;
    }
    if (err == FT_OK)
        err = ft_reader_next(&reader, &envelope, &problem);
    if (err == FT_OK)
        ft_http_publish(x, request, &envelope);
    else
        ft_exchange_problem(x, request, &problem);
}

void ft_answer_publish(struct ft_exchange *x, const struct ft_http_request *request)
{
    const struct ft_worker *w = x->asker.worker;
    struct body body = {.bytes = request->body};
    if (!ft_answer_body_encoding(x, request, &body.encoding))
        return;
    if (body.encoding == FT_JSON && !ft_utf8_is_valid(body.bytes)) {
        ft_exchange_refuse(x, request, 400, "the body is JSON that is not UTF-8");
        return;
    }
    bool is_small = body.bytes.len <= w->options->message_bytes;
    body.scratch = is_small ? w->scratch : ft_alloc(body.bytes.len);
    publish_body(x, request, &body);
    if (!is_small)
        free(body.scratch);
}
