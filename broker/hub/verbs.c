/*
 * From a message to the verbs: reads envelopes one by one, looks the verb up in a table, and answers
 * what went wrong. Knows no verb's meaning. The worker's thread.
 */
#include "broker/hub/verbs.h"

#include "broker/base/alloc.h"
#include "broker/hub/reply.h"
#include "broker/hub/worker.h"
#include "protocol/quote.h"
#include "protocol/utf8.h"

#include <stdio.h>

static const ft_verb verbs[FT_OPS] = {
    [FT_OP_SUB] = ft_on_sub,           [FT_OP_UNSUB] = ft_on_unsub, [FT_OP_PUB] = ft_on_pub,
    [FT_OP_HISTORY] = ft_on_history,   [FT_OP_AUTH] = ft_on_auth,   [FT_OP_PING] = ft_on_ping,
    [FT_OP_PRESENCE] = ft_on_presence,
};

enum ft_err ft_check_filters(const struct ft_envelope *envelope, struct ft_problem *problem)
{
    const struct ft_list *topics = &envelope->topics;
    if (topics->count == 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "%s needs topics, an array of one filter or more",
                              ft_op_name(envelope->op));
    uint8_t text[FT_TOPIC_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < topics->count; i++) {
        struct ft_slice filter;
        if (ft_list_next(topics, &at, text, sizeof(text), &filter) != FT_OK)
            return ft_problem_set(problem, FT_ERR_BAD_FILTER,
                                  "filter %u of topics is longer than %d bytes", i + 1,
                                  FT_TOPIC_BYTES_MAX);
        enum ft_err err = ft_filter_check(filter, problem);
        if (err != FT_OK)
            return err;
    }
    return FT_OK;
}

struct ft_slice ft_next_filter(const struct ft_envelope *envelope, size_t *at,
                               uint8_t text[FT_TOPIC_BYTES_MAX])
{
    struct ft_slice filter;
    enum ft_err err = ft_list_next(&envelope->topics, at, text, FT_TOPIC_BYTES_MAX, &filter);
    FT_ASSERT(err == FT_OK); /* it was read once already */
    return filter;
}

enum ft_err ft_check_answers(const struct ft_session *session, struct ft_problem *problem)
{
    size_t most = session->asker.worker->options->queue_bytes;
    if (!session->is_blocked || session->outbox.own_bytes <= most)
        return FT_OK;
    return ft_problem_set(problem, FT_ERR_TOO_MANY,
                          "answers of %zu bytes have to be read before the next (limits.queue)",
                          most);
}

void ft_flush_answers(struct ft_session *session)
{
    if (session->outbox.own_bytes > session->asker.worker->options->queue_bytes / 2)
        ft_session_flush(session);
}

static enum ft_err unknown_op(const struct ft_envelope *envelope, struct ft_problem *problem)
{
    if (!envelope->op_name.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "the envelope has no op");
    char quoted[FT_QUOTE_MAX];
    return ft_problem_set(
        problem, FT_ERR_BAD_FIELD,
        "op is %s, but a client may send sub, unsub, pub, history, presence, auth and ping",
        ft_quote(envelope->op_name, quoted));
}

/* Replies an error, after what came before it. */
static void report(struct ft_session *session, struct ft_id id, const struct ft_problem *problem)
{
    if (session->asker.unacked > 0)
        ft_worker_settle(session->asker.worker);
    ft_reply_error(session, id, problem);
    if (session->frames == FT_FRAMES_EVENTS) /* it waited, and has its status and a head by now */
        ft_session_end(session, (uint16_t)(4000 + ft_err_wire(problem->err)), problem->text);
    if (problem->err == FT_ERR_BAD_ENVELOPE && ++session->bad_count == FT_BAD_ENVELOPES_MAX)
        ft_session_end(session, 4400, "too many bad envelopes");
}

/* Sends replies that have become more than `most` at once, instead of at the end of the turn. Returns false when
 * the socket does not take them. */
static bool make_room(struct ft_session *session, size_t most)
{
    if (session->outbox.own_bytes > most)
        ft_session_flush(session);
    return session->outbox.own_bytes <= most;
}

/* Inlined into both that need it: most messages are one envelope, and a call for each would be seen. */
static inline __attribute__((always_inline)) void handle(struct ft_session *session,
                                                         struct ft_reader *reader)
{
    size_t queue_bytes = session->asker.worker->options->queue_bytes;
    bool may_stall = session->asker.worker->wants != NULL;
    struct ft_problem problem;
    struct ft_envelope envelope;
    struct ft_reader mark; /* of a session that may stall */
    while (ft_reader_has_more(reader) && !session->is_ending) {
        if (may_stall)
            mark = *reader;
        enum ft_err err = ft_reader_next(reader, &envelope, &problem);
        if (err == FT_OK) {
            ft_verb verb = verbs[envelope.op];
            err = verb ? verb(session, &envelope, &problem) : unknown_op(&envelope, &problem);
        }
        if (err != FT_OK)
            report(session, envelope.id, &problem);
        if (session->stall && ft_stall_keep(session, &mark))
            return;
        /* Twice: `history`, whose answers are the large ones, refuses before it comes to this. */
        if (!make_room(session, 2 * queue_bytes))
            ft_session_end(session, 4508, "slow consumer: more replies than limits.queue wait");
    }
    /* Between messages there is a milder means: the next ones are not read (ft_session_flush()). */
    (void)make_room(session, queue_bytes / 2);
}

void ft_handle_message(struct ft_session *session, struct ft_slice message)
{
    if (session->stall && ft_stall_queue(session, message))
        return;
    enum ft_encoding encoding = ft_frames_encoding((enum ft_frames)session->frames);
    if (encoding == FT_JSON && !ft_utf8_is_valid(message)) {
        ft_session_end(session, 1007, "a text message has to be UTF-8");
        return;
    }
    struct ft_problem problem;
    struct ft_reader reader;
    if (ft_reader_begin(&reader, encoding, message, session->asker.worker->scratch, &problem) !=
        FT_OK)
        report(session, (struct ft_id){.kind = FT_ID_NONE}, &problem);
    else
        handle(session, &reader);
}

void ft_handle_envelopes(struct ft_session *session, struct ft_reader *reader)
{
    handle(session, reader);
}

enum ft_err ft_session_carry_out(struct ft_session *session, struct ft_slice message,
                                 struct ft_problem *problem)
{
    struct ft_worker *w = session->asker.worker;
    struct ft_reader reader;
    struct ft_envelope envelope;
    if (message.len > w->options->message_bytes)
        return ft_problem_set(
            problem, FT_ERR_TOO_LARGE,
            "topics and positions have %zu bytes, %zu are allowed (limits.message)", message.len,
            w->options->message_bytes);
    if (!ft_utf8_is_valid(message))
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "topics and positions have to be UTF-8");
    enum ft_err err = ft_reader_begin(&reader, FT_JSON, message, w->scratch, problem);
    struct ft_reader mark = reader;
    if (err == FT_OK)
        err = ft_reader_next(&reader, &envelope, problem);
    if (err != FT_OK)
        return err;
    FT_ASSERT(envelope.op == FT_OP_SUB); /* whatever is in it, http/ wrote it as one */
    err = ft_on_sub(session, &envelope, problem);
    if (session->stall)
        (void)ft_stall_keep(session, &mark);
    return err;
}
