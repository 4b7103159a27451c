/*
 * What comes in: reads the broker's envelopes and gives each to who waits for it. Does not decide
 * about the connection, but drops it when the broker does not keep to the protocol. The client's
 * thread.
 */
#include "clients/c/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "clients/c/ended.h"
#include "clients/c/welcome.h"
#include "protocol/base64.h"
#include "protocol/envelope.h"
#include "protocol/utf8.h"

/* Texts of results are terminated; the longest that the broker may send is cut there. */
enum { TEXT_MAX = 512 };

static const char *as_text(struct ft_slice text, char out[TEXT_MAX])
{
    size_t len = text.ptr ? ft_utf8_cut(text, TEXT_MAX - 1) : 0;
    if (len > 0)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
    return out;
}

static uint32_t as_ms(bool is_there, uint64_t ms)
{
    return !is_there ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static struct fantail_bytes as_bytes(struct ft_slice slice)
{
    return (struct fantail_bytes){.ptr = slice.ptr, .len = slice.len};
}

/* Reads the positions of an envelope, one or several, into f->named. */
static const struct ft_positions *read_positions(struct fantail *f, const struct ft_envelope *env)
{
    uint8_t text[FT_POSITION_BYTES_MAX];
    struct ft_slice item;
    size_t at = 0;
    ft_positions_clear(&f->named);
    ft_positions_see(&f->named, env->pos);
    for (uint32_t i = 0; i < env->positions.count; i++) {
        if (ft_list_next(&env->positions, &at, text, sizeof(text), &item) != FT_OK)
            break; /* longer than any position: nothing that could be kept */
        ft_positions_see(&f->named, item);
    }
    return &f->named;
}

static bool is_history(const struct ft_envelope *env)
{
    return env->id.kind == FT_ID_STR && env->id.str.len > 0 && env->id.str.ptr[0] == FT_HISTORY_ID;
}

/* Gives the end of a history to whoever asked for it; false: it is none. */
static bool answer_history(struct fantail *f, const struct ft_envelope *env,
                           const struct fantail_result *result)
{
    struct fantail_history history = {
        .code = result->code,
        .message = result->message,
        .retry_ms = result->retry_ms,
        .recovered = result->recovered,
    };
    return is_history(env) &&
           ft_histories_answer(&f->histories, env->id.str, &history, f->encoding, env->messages);
}

/* Says whether a refusal is no end: the publication will be sent again. */
static bool is_repeated(struct fantail *f, uint64_t id, const struct fantail_result *result)
{
    bool is_unsure = result->code == FANTAIL_LOST;
    return (is_unsure || result->code == FANTAIL_UNAVAILABLE) && result->retry_ms > 0 &&
           ft_pending_repeat(&f->pending, id, result->retry_ms, is_unsure);
}

/* Gives the end of a publication to whoever made it. */
static void end_publication(struct fantail *f, const struct ft_pending_item *item,
                            const struct fantail_result *result)
{
    struct fantail_result end = *result;
    if (end.code == FANTAIL_UNAVAILABLE && ft_pending_is_unsure(item))
        end.code = FANTAIL_LOST; /* not this time, but perhaps before */
    if (item->on_result)
        item->on_result(f, &end, item->user);
    else if (end.code != 0)
        ft_client_report(f, &end);
}

/* Gives the end of a request to whoever made it; what nobody made, or left unheard, is an error. */
static void answer(struct fantail *f, const struct ft_envelope *env,
                   const struct fantail_result *result)
{
    struct ft_pending_item item;
    if (env->id.kind == FT_ID_INT && is_repeated(f, env->id.num, result))
        return;
    if (env->id.kind == FT_ID_INT && ft_pending_take(&f->pending, env->id.num, &item)) {
        end_publication(f, &item, result);
        return;
    }
    if (answer_history(f, env, result))
        return;
    if (env->id.kind == FT_ID_STR &&
        ft_client_presences_answer(&f->presences, env->id.str, result, f->encoding, f->message))
        return;
    if (env->id.kind == FT_ID_STR &&
        ft_subscriptions_answer(&f->subscriptions, env->id.str, result, read_positions(f, env),
                                ft_clock_mono_ms(), ft_client_report))
        return;
    if (result->code != 0)
        ft_client_report(f, result);
}

static void end_filter(void *client, struct ft_slice filter)
{
    struct fantail *f = client;
    ft_subscriptions_end(&f->subscriptions, filter);
    f->ended++;
}

/* Leaves out what the broker has ended. Returns how many filters it named. */
static size_t end_filters(struct fantail *f)
{
    f->ended = 0;
    ft_ended_read(f->encoding, f->message, end_filter, f);
    return f->ended;
}

/* The broker took the fresh token. */
static void on_renewed(struct fantail *f)
{
    char text[TEXT_MAX];
    size_t ended = end_filters(f);
    if (ended == 0)
        return;
    snprintf(text, sizeof(text), "the fresh token does not permit %zu of the filters any more",
             ended);
    ft_client_report(f, &(struct fantail_result){.code = 403, .message = text});
}

static void on_ok(struct fantail *f, const struct ft_envelope *env)
{
    if (ft_client_is_renewal(env)) {
        on_renewed(f);
        return;
    }
    struct fantail_result result = {
        .message = "",
        .pos = as_bytes(env->pos),
        .duplicate = env->duplicate,
        .recovered = env->has_recovered && env->recovered,
    };
    answer(f, env, &result);
}

static void on_error(struct fantail *f, const struct ft_envelope *env)
{
    char text[TEXT_MAX];
    struct fantail_result result = {
        .code = env->has_code ? (int)env->code : 500,
        .message = as_text(env->message, text),
        .retry_ms = as_ms(env->has_retry, env->retry_ms),
    };
    if (env->id.kind == FT_ID_NONE)
        f->retry_ms = result.retry_ms; /* about the connection: keeps away so long, if it ends */
    if (env->id.kind == FT_ID_NONE && result.code == 401 && ft_client_renew(f))
        return;
    if (env->id.kind == FT_ID_NONE && result.code == 403)
        end_filters(f); /* by the operator */
    answer(f, env, &result);
}

static void on_msg(struct fantail *f, const struct ft_envelope *env)
{
    struct fantail_message message = {
        .topic = as_bytes(env->topic),
        .data = as_bytes(env->data.bytes),
        .pos = as_bytes(env->pos),
        .at_ms = env->at_ms,
        .retained = env->retained,
    };
    if (env->data.kind == FT_DATA_B64) {
        ft_buffer_clear(&f->decoded);
        size_t len = 0;
        uint8_t *bytes = ft_buffer_reserve(&f->decoded, env->data.bytes.len / 4 * 3 + 1);
        if (!bytes || !ft_base64_decode(env->data.bytes, bytes, &len))
            return; /* the reader checked the text, and it is no longer than a message */
        message.data = as_bytes(ft_slice(bytes, len));
    }
    message.kind = env->data.kind == FT_DATA_JSON      ? FANTAIL_JSON
                   : env->data.kind == FT_DATA_MSGPACK ? FANTAIL_MSGPACK
                                                       : FANTAIL_BYTES;
    ft_subscriptions_deliver(&f->subscriptions, &message, f->options.on_message, f->options.user);
}

/* Tells of a gap with its positions as text. */
static void tell_gap(struct fantail *f, struct fantail_gap *gap)
{
    size_t n = f->named.count;
    char *texts = ft_alloc((n + 1) * FT_POSITION_BYTES_MAX); /* too many for a small stack */
    const char **pos = ft_alloc((n + 1) * sizeof(*pos));
    for (size_t i = 0; i < n; i++) {
        char *text = texts + i * FT_POSITION_BYTES_MAX;
        ft_positions_print(&f->named, i, text, FT_POSITION_BYTES_MAX);
        pos[i] = text;
    }
    gap->pos = pos;
    gap->pos_count = n;
    f->options.on_gap(f, gap, f->options.user);
    free(texts);
    free(pos);
}

static void on_gap(struct fantail *f, const struct ft_envelope *env)
{
    struct fantail_gap gap = {
        .reason = as_bytes(env->reason),
        .has_lost = env->has_lost,
        .lost = env->lost,
    };
    ft_subscriptions_skip(&f->subscriptions, read_positions(f, env));
    if (f->options.on_gap)
        tell_gap(f, &gap);
}

static void on_bye(struct fantail *f, const struct ft_envelope *env)
{
    char text[TEXT_MAX];
    f->bye_code = env->has_code ? (int)env->code : 0;
    snprintf(f->bye_reason, sizeof(f->bye_reason), "%.*s", (int)sizeof(f->bye_reason) - 1,
             as_text(env->reason, text));
    f->is_leaving = true;
    f->has_reconnect = env->has_reconnect;
    f->reconnect_ms = env->reconnect_ms;
}

static void on_welcome(struct fantail *f, const struct ft_envelope *env)
{
    char text[TEXT_MAX];
    snprintf(f->session, sizeof(f->session), "%.*s", (int)sizeof(f->session) - 1,
             as_text(env->session, text));
    if (env->has_ping && env->ping_s > 0 && env->ping_s <= UINT32_MAX)
        f->ping_ms = env->ping_s * 1000;
    ft_client_welcomed(f);
}

typedef void receive_fn(struct fantail *f, const struct ft_envelope *env);

/* An op that is not here is of a later version, or needs nothing more than having been heard. */
static receive_fn *const receivers[FT_OPS] = {
    [FT_OP_WELCOME] = on_welcome, [FT_OP_OK] = on_ok,   [FT_OP_ERROR] = on_error,
    [FT_OP_MSG] = on_msg,         [FT_OP_GAP] = on_gap, [FT_OP_BYE] = on_bye,
};

/* Makes room for the reader's decoded strings. Messages are bounded, so this is. */
static void grow_scratch(struct fantail *f, size_t n)
{
    if (n <= f->scratch_room)
        return;
    f->scratch_room = n < 4096 ? 4096 : n;
    free(f->scratch);
    f->scratch = ft_alloc(f->scratch_room);
}

/* A history that the reader objects to ends alone: asked for again, it would come again. */
static bool end_unreadable(struct fantail *f, const struct ft_envelope *env,
                           const struct ft_problem *problem)
{
    struct fantail_result result = {.code = 500, .message = problem->text};
    return answer_history(f, env, &result);
}

static void read_envelopes(struct fantail *f, struct ft_slice message)
{
    struct ft_reader reader;
    struct ft_problem problem;
    enum ft_err err = ft_reader_begin(&reader, f->encoding, message, f->scratch, &problem);
    while (!err && ft_reader_has_more(&reader)) {
        struct ft_envelope env;
        err = ft_reader_next(&reader, &env, &problem);
        if (err && end_unreadable(f, &env, &problem)) {
            err = FT_OK;
            continue;
        }
        if (err)
            break;
        if (env.op == FT_OP_WELCOME) {
            size_t limit = ft_welcome_message_limit(f->encoding, message);
            f->message_limit = limit ? limit : FT_MESSAGE_LIMIT;
        }
        if (receivers[env.op])
            receivers[env.op](f, &env);
    }
    if (err)
        ft_transport_drop(f->transport, problem.text);
}

void ft_client_receive(void *client, struct ft_slice message, bool is_text)
{
    struct fantail *f = client;
    f->heard_ms = f->pending.now_ms = ft_clock_mono_ms();
    f->is_pinged = false;
    if (is_text != (f->encoding == FT_JSON)) {
        ft_transport_drop(f->transport, "the broker answered in the other encoding");
        return;
    }
    if (f->encoding == FT_JSON && !ft_utf8_is_valid(message)) {
        ft_transport_drop(f->transport, "the broker sent text that is not UTF-8");
        return;
    }
    grow_scratch(f, message.len);
    f->message = message;
    read_envelopes(f, message);
}
