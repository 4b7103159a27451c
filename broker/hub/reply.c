/*
 * Replies and control frames of a session's own. Decides nothing; writes what it is told into the
 * session's outbox, in the session's encoding. The worker's thread.
 */
#include "broker/hub/reply.h"

#include "broker/hub/worker.h"
#include "protocol/ws_frame.h"

#include <stdio.h>

struct ft_writer *ft_reply_begin(struct ft_session *s)
{
    struct ft_worker *w = s->asker.worker;
    ft_buffer_clear(&w->reply_buffer);
    ft_writer_init(&w->reply_writer, (enum ft_encoding)s->encoding, &w->reply_buffer);
    return &w->reply_writer;
}

static void queue_frame(struct ft_session *s, enum ft_ws_opcode opcode, struct ft_slice payload)
{
    struct ft_worker *w = s->asker.worker;
    size_t header = ft_ws_server_header_size(payload.len);
    uint8_t *frame = ft_outbox_push_bytes(&s->outbox, &w->pool, header + payload.len);
    ft_ws_server_header(opcode, payload.len, frame);
    memcpy(frame + header, payload.ptr, payload.len);
    ft_worker_mark_dirty(w, s);
}

void ft_reply_end(struct ft_session *s)
{
    if (!s->is_ending)
        queue_frame(s, ft_ws_opcode_of((enum ft_encoding)s->encoding),
                    ft_buffer_slice(&s->asker.worker->reply_buffer));
}

static void write_pair(struct ft_writer *w, const char *key, struct ft_slice text)
{
    ft_write_key(w, key);
    ft_write_str(w, text);
}

static void write_op_id(struct ft_writer *w, const char *op, struct ft_id id)
{
    write_pair(w, "op", ft_slice_str(op));
    if (id.kind != FT_ID_NONE) {
        ft_write_key(w, "id");
        ft_write_id(w, id);
    }
}

void ft_reply_ok(struct ft_session *s, struct ft_id id)
{
    if (id.kind == FT_ID_NONE)
        return;
    struct ft_writer *w = ft_reply_begin(s);
    ft_write_map(w, 2);
    write_op_id(w, "ok", id);
    ft_reply_end(s);
}

void ft_reply_write_pos(struct ft_session *s, uint64_t offset)
{
    char pos[FT_POS_LEN_MAX + 8];
    int n = snprintf(pos, sizeof(pos), "%s.%llu", ft_journal_stream(s->asker.worker->hub->journal),
                     (unsigned long long)offset);
    ft_write_str(&s->asker.worker->reply_writer, ft_slice(pos, (size_t)n));
}

void ft_reply_ok_pub(struct ft_session *s, struct ft_id id, const struct ft_publication *p)
{
    if (id.kind == FT_ID_NONE)
        return;
    struct ft_writer *w = ft_reply_begin(s);
    ft_write_map(w, 2 + !p->is_ephemeral + p->is_duplicate);
    write_op_id(w, "ok", id);
    if (p->is_duplicate) {
        ft_write_key(w, "duplicate");
        ft_write_bool(w, true);
    }
    if (!p->is_ephemeral) {
        ft_write_key(w, "pos");
        if (p->is_duplicate)
            ft_reply_write_pos(s, p->offset);
        else
            ft_write_str(w, ft_publication_pos(p));
    }
    ft_reply_end(s);
}

void ft_reply_frame(struct ft_session *s, struct ft_slice frame)
{
    struct ft_worker *w = s->asker.worker;
    memcpy(ft_outbox_push_bytes(&s->outbox, &w->pool, frame.len), frame.ptr, frame.len);
    ft_worker_mark_dirty(w, s);
}

void ft_reply_retained(struct ft_session *s, struct ft_slice frame)
{
    struct ft_buffer *marked = &s->asker.worker->reply_buffer;
    ft_buffer_clear(marked);
    ft_publication_add_retained(frame, (enum ft_encoding)s->encoding, marked);
    ft_reply_frame(s, ft_buffer_slice(marked));
}

static void write_gap(struct ft_session *s, const uint64_t *lost, uint64_t offset)
{
    struct ft_writer *w = ft_reply_begin(s);
    ft_write_map(w, lost ? 4 : 3);
    write_pair(w, "op", ft_slice_str("gap"));
    write_pair(w, "reason", ft_slice_str("slow"));
    if (lost) {
        ft_write_key(w, "lost");
        ft_write_uint(w, *lost);
    }
    ft_write_key(w, "pos");
    ft_write_array(w, 1);
    ft_reply_write_pos(s, offset);
}

/* Writes what is in the reply's buffer as a frame. */
static void put_frame(struct ft_session *s, uint8_t *frame, size_t header)
{
    struct ft_slice payload = ft_buffer_slice(&s->asker.worker->reply_buffer);
    ft_ws_server_header(ft_ws_opcode_of((enum ft_encoding)s->encoding), payload.len, frame);
    memcpy(frame + header, payload.ptr, payload.len);
    ft_worker_mark_dirty(s->asker.worker, s);
}

void ft_reply_gap(struct ft_session *s, const uint64_t *lost, uint64_t offset)
{
    write_gap(s, lost, offset);
    size_t len = s->asker.worker->reply_buffer.len, header = ft_ws_server_header_size(len);
    put_frame(s, ft_outbox_push_gap(&s->outbox, &s->asker.worker->pool, header + len), header);
}

void ft_reply_gap_in_front(struct ft_session *s, const uint64_t *lost, uint64_t offset)
{
    write_gap(s, lost, offset);
    size_t len = s->asker.worker->reply_buffer.len, header = ft_ws_server_header_size(len);
    put_frame(s, ft_outbox_push_gap_front(&s->outbox, &s->asker.worker->pool, header + len),
              header);
}

void ft_reply_error(struct ft_session *s, struct ft_id id, const struct ft_problem *problem)
{
    struct ft_writer *w = ft_reply_begin(s);
    ft_write_map(w, id.kind == FT_ID_NONE ? 3 : 4);
    write_op_id(w, "error", id);
    ft_write_key(w, "code");
    ft_write_uint(w, (uint64_t)ft_err_wire(problem->err));
    write_pair(w, "message", ft_slice_str(problem->text));
    ft_reply_end(s);
}

void ft_reply_ping(struct ft_session *s)
{
    /* A payload, because libwebsockets does not report a PONG without one. */
    queue_frame(s, FT_WS_PING, ft_slice_str("?"));
}

void ft_reply_close(struct ft_session *s, uint16_t code, const char *reason)
{
    if (code == 1005) { /* "no code": a close frame without a payload */
        queue_frame(s, FT_WS_CLOSE, ft_slice_str(""));
        return;
    }
    uint8_t frame[2 + FT_WS_CONTROL_MAX];
    size_t n = ft_ws_close_frame(code, reason, frame);
    memcpy(ft_outbox_push_bytes(&s->outbox, &s->asker.worker->pool, n), frame, n);
    ft_worker_mark_dirty(s->asker.worker, s);
}

void ft_reply_welcome(struct ft_session *s)
{
    const struct ft_hub_options *options = s->asker.worker->options;
    struct ft_writer *w = ft_reply_begin(s);
    ft_write_map(w, 7);
    write_pair(w, "op", ft_slice_str("welcome"));
    ft_write_key(w, "version");
    ft_write_uint(w, 1);
    write_pair(w, "session", ft_slice(s->id, FT_SESSION_ID_LEN));
    write_pair(w, "node", ft_slice_str(options->node));
    ft_write_key(w, "user");
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
    ft_reply_end(s);
}
