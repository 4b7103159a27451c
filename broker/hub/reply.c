/*
 * Replies and control frames of a session's own. Decides nothing; writes what it is told into the
 * session's outbox, in the session's encoding. The worker's thread.
 */
#include "broker/hub/reply.h"

#include "broker/hub/places.h"
#include "broker/hub/worker.h"
#include "protocol/ws_frame.h"

#include <stdio.h>

static const struct ft_id no_id = {.kind = FT_ID_NONE};
static const char event_end[] = "\n\n";

/* ---- one reply, from its begin to the outbox ---- */

static bool is_events(const struct ft_session *s)
{
    return s->frames == FT_FRAMES_EVENTS;
}

static void write_pair(struct ft_writer *w, const char *key, struct ft_slice text)
{
    ft_write_key(w, key);
    ft_write_str(w, text);
}

struct ft_writer *ft_reply_begin(struct ft_session *s, const char *op, struct ft_id id,
                                 uint32_t pairs)
{
    struct ft_worker *w = s->asker.worker;
    struct ft_writer *writer = &w->reply_writer;
    ft_buffer_clear(&w->reply_buffer);
    if (is_events(s)) {
        ft_buffer_clear(&w->reply_head);
        ft_buffer_add_str(&w->reply_head, "event: ");
        ft_buffer_add_str(&w->reply_head, op);
        ft_buffer_add_str(&w->reply_head, "\n");
    }
    ft_writer_init(writer, ft_frames_encoding((enum ft_frames)s->frames), &w->reply_buffer);
    ft_write_map(writer, 1 + (id.kind != FT_ID_NONE) + pairs);
    write_pair(writer, "op", ft_slice_str(op));
    if (id.kind != FT_ID_NONE) {
        ft_write_key(writer, "id");
        ft_write_id(writer, id);
    }
    return writer;
}

/* Adds the line with the event's id: positions with commas between. A stream that was opened later is told of when
 * the session comes to there. */
static void add_event_id(struct ft_buffer *head, const struct ft_place *places, uint32_t n)
{
    bool is_first = true;
    for (uint32_t i = 0; i < n; i++) {
        char text[FT_POS_LEN_MAX];
        if (places[i].is_later)
            continue;
        ft_buffer_add_str(head, is_first ? "id: " : ",");
        ft_buffer_add(head, text, ft_place_print(&places[i], text));
        is_first = false;
    }
    if (!is_first)
        ft_buffer_add_str(head, "\n");
}

void ft_reply_write_places(struct ft_session *s, const struct ft_place *places, uint32_t n)
{
    struct ft_worker *w = s->asker.worker;
    uint32_t later = 0;
    for (uint32_t i = 0; i < n; i++)
        later += is_events(s) && places[i].is_later;
    ft_write_key(&w->reply_writer, "pos");
    ft_write_array(&w->reply_writer, n - later);
    for (uint32_t i = 0; i < n; i++) {
        char text[FT_POS_LEN_MAX];
        if (!is_events(s) || !places[i].is_later)
            ft_write_str(&w->reply_writer, ft_slice(text, ft_place_print(&places[i], text)));
    }
    if (is_events(s))
        add_event_id(&w->reply_head, places, n);
}

/* Completes what goes before an event. Returns how long the whole frame is. */
static size_t finish(struct ft_session *s)
{
    struct ft_worker *w = s->asker.worker;
    struct ft_buffer *head = &w->reply_head;
    size_t len = w->reply_buffer.len;
    if (!is_events(s))
        return ft_ws_server_header_size(len) + len;
    ft_buffer_add_str(head, "data: ");
    return head->len + len + sizeof(event_end) - 1;
}

/* Writes the frame to where the outbox has room for it. */
static void put(struct ft_session *s, uint8_t *frame)
{
    struct ft_worker *w = s->asker.worker;
    struct ft_slice reply = ft_buffer_slice(&w->reply_buffer),
                    head = ft_buffer_slice(&w->reply_head);
    if (is_events(s)) {
        memcpy(frame, head.ptr, head.len);
        memcpy(frame + head.len, reply.ptr, reply.len);
        memcpy(frame + head.len + reply.len, event_end, sizeof(event_end) - 1);
    } else {
        frame +=
            ft_ws_server_header(ft_ws_opcode_of((enum ft_encoding)s->frames), reply.len, frame);
        memcpy(frame, reply.ptr, reply.len);
    }
    ft_worker_mark_dirty(w, s);
}

static void queue(struct ft_session *s)
{
    size_t len = finish(s);
    put(s, ft_outbox_push_bytes(&s->outbox, &s->asker.worker->pool, len));
}

void ft_reply_end(struct ft_session *s)
{
    if (!s->is_ending)
        queue(s);
}

/* ---- the replies ---- */

void ft_reply_ok(struct ft_session *s, struct ft_id id)
{
    if (id.kind == FT_ID_NONE)
        return;
    (void)ft_reply_begin(s, "ok", id, 0);
    ft_reply_end(s);
}

void ft_reply_published(struct ft_session *s, struct ft_id id, const struct ft_outcome *outcome)
{
    if (outcome->problem) {
        ft_reply_error(s, id, outcome->problem);
        return;
    }
    if (id.kind == FT_ID_NONE)
        return;
    bool has_pos = outcome->pos.len > 0;
    struct ft_writer *w = ft_reply_begin(s, "ok", id, (uint32_t)(has_pos + outcome->is_duplicate));
    if (outcome->is_duplicate) {
        ft_write_key(w, "duplicate");
        ft_write_bool(w, true);
    }
    if (has_pos)
        write_pair(w, "pos", outcome->pos);
    ft_reply_end(s);
}

static void push(struct ft_session *s, struct ft_slice frame)
{
    struct ft_worker *w = s->asker.worker;
    memcpy(ft_outbox_push_bytes(&s->outbox, &w->pool, frame.len), frame.ptr, frame.len);
    ft_worker_mark_dirty(w, s);
}

void ft_reply_frame(struct ft_session *s, struct ft_slice frame)
{
    struct ft_metrics *metrics = &s->asker.worker->metrics;
    ft_count(&metrics->deliveries[s->frames], 1);
    ft_count(&metrics->deliveries_bytes[s->frames], frame.len);
    push(s, frame);
}

void ft_reply_retained(struct ft_session *s, struct ft_slice frame)
{
    struct ft_buffer *marked = &s->asker.worker->reply_buffer;
    ft_buffer_clear(marked);
    ft_publication_add_retained(frame, (enum ft_frames)s->frames, marked);
    ft_reply_frame(s, ft_buffer_slice(marked));
}

struct ft_slice ft_reply_event(struct ft_session *s, struct ft_slice event,
                               const struct ft_place *places, uint32_t n)
{
    struct ft_buffer *made = &s->asker.worker->reply_head;
    struct ft_slice body = ft_publication_cut_id(event);
    ft_buffer_clear(made);
    add_event_id(made, places, n);
    ft_buffer_add(made, body.ptr, body.len);
    return ft_buffer_slice(made);
}

void ft_reply_known(struct ft_session *s, const struct ft_publication *p)
{
    struct ft_journal *journal = s->asker.worker->hub->journal;
    struct ft_place places[FT_PARTITIONS_MAX];
    struct ft_slice event = ft_journal_frame(journal, p, FT_FRAMES_EVENTS);
    uint32_t n = ft_publication_is_counted(p) ? ft_session_places(s, NULL, p->offset, places) : 0;
    ft_reply_frame(s, ft_reply_event(s, event, places, n));
}

void ft_reply_event_id(struct ft_session *s, uint64_t offset)
{
    struct ft_buffer *id = &s->asker.worker->reply_head;
    struct ft_place places[FT_PARTITIONS_MAX];
    if (!is_events(s))
        return;
    uint32_t n = ft_session_places(s, NULL, offset, places);
    ft_buffer_clear(id);
    add_event_id(id, places, n);
    if (id->len == 0)
        return;
    ft_buffer_add_str(id, "\n");
    push(s, ft_buffer_slice(id));
}

/* `gap`: NULL, or the entry that is told of. What is warm behind it is not for those who have listened. */
static void write_reason(struct ft_session *s, const char *reason, const uint64_t *lost,
                         uint64_t offset, const struct ft_publication *gap)
{
    struct ft_place places[FT_PARTITIONS_MAX];
    uint32_t n = ft_session_touched_places(s, offset, places);
    for (uint32_t i = 0; gap && i < n; i++) {
        if (places[i].index == gap->stream && places[i].seq < gap->seq)
            places[i].seq = gap->seq;
    }
    struct ft_writer *w = ft_reply_begin(s, "gap", no_id, lost ? 3 : 2);
    write_pair(w, "reason", ft_slice_str(reason));
    if (lost) {
        ft_write_key(w, "lost");
        ft_write_uint(w, *lost);
    }
    ft_reply_write_places(s, places, n);
}

static void write_gap(struct ft_session *s, const uint64_t *lost, uint64_t offset)
{
    struct ft_metrics *metrics = &s->asker.worker->metrics;
    ft_count(&metrics->gaps[FT_GAP_SLOW], 1);
    ft_count(&metrics->deliveries_dropped[FT_DROP_SLOW], lost ? *lost : 0);
    write_reason(s, "slow", lost, offset, NULL);
}

void ft_reply_gap(struct ft_session *s, const uint64_t *lost, uint64_t offset)
{
    write_gap(s, lost, offset);
    size_t len = finish(s);
    put(s, ft_outbox_push_gap(&s->outbox, &s->asker.worker->pool, len, offset));
}

void ft_reply_gap_in_front(struct ft_session *s, const uint64_t *lost, uint64_t offset)
{
    write_gap(s, lost, offset);
    size_t len = finish(s);
    put(s, ft_outbox_push_gap_front(&s->outbox, &s->asker.worker->pool, len, offset));
}

void ft_reply_gap_of(struct ft_session *s, const struct ft_publication *gap)
{
    ft_count(&s->asker.worker->metrics.gaps[FT_GAP_RELAY], 1);
    if (s->is_ending)
        return;
    write_reason(s, "relay", NULL, gap->offset, gap);
    size_t len = finish(s);
    put(s, ft_outbox_push_gap(&s->outbox, &s->asker.worker->pool, len, gap->offset));
}

void ft_reply_error(struct ft_session *s, struct ft_id id, const struct ft_problem *problem)
{
    ft_count_error(&s->asker.worker->metrics, problem->err);
    struct ft_writer *w = ft_reply_begin(s, "error", id, problem->retry_ms > 0 ? 3 : 2);
    ft_write_key(w, "code");
    ft_write_uint(w, (uint64_t)ft_err_wire(problem->err));
    write_pair(w, "message", ft_slice_str(problem->text));
    if (problem->retry_ms > 0) {
        ft_write_key(w, "retry");
        ft_write_uint(w, problem->retry_ms);
    }
    ft_reply_end(s);
}

static void queue_control(struct ft_session *s, enum ft_ws_opcode opcode, struct ft_slice payload)
{
    uint8_t frame[FT_WS_SERVER_HEADER_MAX + FT_WS_CONTROL_MAX];
    size_t header = ft_ws_server_header(opcode, payload.len, frame);
    memcpy(frame + header, payload.ptr, payload.len);
    push(s, ft_slice(frame, header + payload.len));
}

void ft_reply_ping(struct ft_session *s)
{
    if (is_events(s))
        push(s, ft_slice_str(":\n\n"));
    else
        queue_control(s, FT_WS_PING, ft_slice_str(""));
}

void ft_reply_pong(struct ft_session *s, struct ft_slice payload)
{
    queue_control(s, FT_WS_PONG, payload);
}

void ft_reply_close(struct ft_session *s, uint16_t code, const char *reason)
{
    ft_count_close(&s->asker.worker->metrics, code);
    if (code == 1005) { /* "no code": a close frame without a payload */
        queue_control(s, FT_WS_CLOSE, ft_slice_str(""));
        return;
    }
    uint8_t frame[2 + FT_WS_CONTROL_MAX];
    push(s, ft_slice(frame, ft_ws_close_frame(code, reason, frame)));
}

void ft_reply_bye(struct ft_session *s, uint16_t code, const char *reason)
{
    ft_count_close(&s->asker.worker->metrics, code);
    struct ft_writer *w = ft_reply_begin(s, "bye", no_id, 2);
    ft_write_key(w, "code");
    ft_write_uint(w, code);
    write_pair(w, "reason", ft_slice_str(reason));
    queue(s);
}

void ft_reply_welcome(struct ft_session *s)
{
    const struct ft_hub_options *options = s->asker.worker->options;
    struct ft_slice user = ft_identity_user(s->asker.who);
    uint64_t expires_ms = ft_identity_expires_ms(s->asker.who);
    struct ft_writer *w = ft_reply_begin(s, "welcome", no_id, expires_ms > 0 ? 7 : 6);
    ft_write_key(w, "version");
    ft_write_uint(w, 1);
    write_pair(w, "session", ft_slice(s->id, FT_SESSION_ID_LEN));
    write_pair(w, "node", ft_slice_str(options->node));
    ft_write_key(w, "user");
    if (user.ptr)
        ft_write_str(w, user);
    else
        ft_write_null(w);
    ft_write_key(w, "ping");
    ft_write_uint(w, options->ping_s);
    ft_write_key(w, "limits");
    ft_write_map(w, 3);
    ft_write_key(w, "message");
    ft_write_uint(w, options->message_bytes);
    ft_write_key(w, "topics");
    ft_write_uint(w, options->topics);
    ft_write_key(w, "queue");
    ft_write_uint(w, options->queue_bytes);
    if (expires_ms > 0) {
        ft_write_key(w, "expires");
        ft_write_uint(w, expires_ms);
    }
    ft_reply_end(s);
}
