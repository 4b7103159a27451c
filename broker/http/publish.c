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
#include "protocol/utf8.h"

#include <stddef.h>
#include <stdlib.h>

/* Publications of one request (SPEC.md section 9). */
#define MOST 1000

/* What became of one of them: the text, `len` bytes at `at` in `texts`, is its position, or what went wrong.
 * Empty: it is ephemeral. */
struct result {
    uint32_t at, len;
    uint32_t code; /* of an error; 0: it was accepted */
    uint32_t retry_ms;
    bool is_duplicate;
};

/* A request whose publications wait for their numbers. */
struct publishing {
    enum ft_encoding encoding; /* of the answer */
    bool is_array, is_reading; /* reading: there may be more to publish */
    struct ft_buffer texts;
    uint32_t count;
    struct result results[];
};

/* ---- the answer ---- */

static void write_failure(struct ft_writer *w, const struct result *result, struct ft_slice text)
{
    ft_write_map(w, 1);
    ft_write_key(w, "error");
    ft_write_map(w, result->retry_ms ? 3 : 2);
    ft_write_key(w, "code");
    ft_write_uint(w, result->code);
    ft_write_key(w, "message");
    ft_write_str(w, text);
    if (result->retry_ms) {
        ft_write_key(w, "retry");
        ft_write_uint(w, result->retry_ms);
    }
}

static void write_result(const struct publishing *p, struct ft_writer *w,
                         const struct result *result)
{
    struct ft_slice text = ft_slice(p->texts.ptr + result->at, result->len);
    if (result->code) {
        write_failure(w, result, text);
        return;
    }
    ft_write_map(w, (uint32_t)((text.len > 0) + result->is_duplicate));
    if (text.len > 0) {
        ft_write_key(w, "pos");
        ft_write_str(w, text);
    }
    if (result->is_duplicate) {
        ft_write_key(w, "duplicate");
        ft_write_bool(w, true);
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
        write_result(p, &w, &p->results[i]);
    ft_answer_end(x);
}

/* ---- waiting for numbers ---- */

static struct ft_exchange *exchange_of(struct ft_asker *asker)
{
    return (struct ft_exchange *)((char *)asker - offsetof(struct ft_exchange, asker));
}

static void note(struct publishing *p, struct result *result, struct ft_slice text)
{
    result->at = (uint32_t)p->texts.len;
    result->len = (uint32_t)text.len;
    if (text.len > 0)
        ft_buffer_add(&p->texts, text.ptr, text.len);
}

static void note_failure(struct publishing *p, struct result *result,
                         const struct ft_problem *problem)
{
    result->code = (uint32_t)ft_err_wire(problem->err);
    result->retry_ms = problem->retry_ms;
    note(p, result, ft_slice_str(problem->text));
}

static void on_published(struct ft_asker *asker, struct ft_id id, const struct ft_outcome *outcome)
{
    struct ft_exchange *x = exchange_of(asker);
    struct publishing *p = x->state;
    struct result *result = &p->results[id.num];
    if (outcome->problem && !p->is_array) {
        ft_exchange_fail(x, p->encoding, outcome->problem);
        return;
    }
    result->is_duplicate = outcome->is_duplicate;
    if (outcome->problem)
        note_failure(p, result, outcome->problem);
    else
        note(p, result, outcome->pos);
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
    ft_buffer_fini(&p->texts);
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
    ft_buffer_init(&p->texts, (size_t)MOST * FT_PROBLEM_TEXT_MAX);
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
