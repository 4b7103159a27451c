/*
 * Lays out publications as ready frames. Knows the `msg` envelope in both encodings by heart,
 * because it is the one that is written for every message; every other envelope goes through
 * protocol/writer.h. Does not number them (the journal does) and keeps no list. Any thread: an
 * instance is built by one thread and read by all once it is numbered.
 */
#include "broker/core/publication.h"

#include "broker/base/alloc.h"
#include "protocol/base64.h"
#include "protocol/number.h"
#include "protocol/transcode.h"
#include "protocol/ws_frame.h"

#include <stdlib.h>

/* Everything of a JSON `msg` but topic, data and position: keys, quotes, 20 digits of `at`. */
#define JSON_FIXED_MAX 80
/* The same in MessagePack: map header, five keys, op, three headers of 5 bytes, uint64. */
#define MSGPACK_FIXED_MAX 64
/* What comes after the stream's name and its point: digits, and the end of the JSON text. */
#define TAIL_MAX (FT_OFFSET_DIGITS_MAX + 2)
/* How much longer data can get in the other encoding: a control character of one byte becomes
 * \u00XX; everything else grows less. */
#define TRANSCODED_MAX(n) (6 * (n) + 64)

/* Everything of an event but its position and the JSON: "id: ", "\n", "data: ", "\n\n". */
#define EVENT_FIXED 13

/* The first byte of a MessagePack `msg`: a map of five. */
#define MSGPACK_MSG 0x85

static uint8_t *put(uint8_t *at, const char *text, size_t n)
{
    memcpy(at, text, n);
    return at + n;
}

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static uint8_t *put_slice(uint8_t *at, struct ft_slice bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

static uint8_t *put_decimal(uint8_t *at, uint64_t value)
{
    return at + ft_uint_print(value, at);
}

/* A valid topic holds no control characters, so two characters need an escape. */
static uint8_t *put_json_topic(uint8_t *at, struct ft_slice topic)
{
    for (size_t i = 0; i < topic.len; i++) {
        if (topic.ptr[i] == '"' || topic.ptr[i] == '\\')
            *at++ = '\\';
        *at++ = topic.ptr[i];
    }
    return at;
}

static uint8_t *put_be(uint8_t *at, uint64_t value, int bytes)
{
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        *at++ = (uint8_t)(value >> shift);
    return at;
}

static uint8_t *put_msgpack_str(uint8_t *at, struct ft_slice text)
{
    if (text.len < 32) {
        *at++ = (uint8_t)(0xa0 | text.len);
    } else { /* a topic: at most 255 bytes */
        *at++ = 0xd9;
        *at++ = (uint8_t)text.len;
    }
    return put_slice(at, text);
}

static uint8_t *put_msgpack_bin(uint8_t *at, struct ft_slice bytes)
{
    int width = bytes.len < 256 ? 1 : bytes.len < 65536 ? 2 : 4;
    *at++ = width == 1 ? 0xc4 : width == 2 ? 0xc5 : 0xc6;
    return put_slice(put_be(at, bytes.len, width), bytes);
}

/* A payload in the making: where its parts came to lie. */
struct layout {
    uint8_t *at;   /* where the next byte goes */
    uint8_t *data; /* where the data, without key and quotes, begins */
    uint8_t *pos;  /* where the position begins */
};

/* Writes {"op":"msg","topic":…,"data"|"b64":…,"at":…,"pos":"<stream>. and stops before the offset.
 * Without a stream it stops after `at`. */
static void lay_json(struct layout *l, struct ft_slice topic, struct ft_data data, uint64_t at_ms,
                     const char *stream)
{
    uint8_t *at = PUT(l->at, "{\"op\":\"msg\",\"topic\":\"");
    at = put_json_topic(at, topic);
    if (data.kind == FT_DATA_B64) {
        l->data = PUT(at, "\",\"b64\":\"");
        at = PUT(put_slice(l->data, data.bytes), "\"");
    } else {
        l->data = PUT(at, "\",\"data\":");
        at = put_slice(l->data, data.bytes);
    }
    at = put_decimal(PUT(at, ",\"at\":"), at_ms);
    l->pos = l->at = at;
    if (!stream)
        return;
    l->pos = PUT(at, ",\"pos\":\"");
    l->at = PUT(put(l->pos, stream, FT_STREAM_NAME_LEN), ".");
}

static void lay_msgpack(struct layout *l, struct ft_slice topic, struct ft_data data,
                        uint64_t at_ms, const char *stream)
{
    uint8_t *at = l->at;
    *at++ = stream ? MSGPACK_MSG : MSGPACK_MSG - 1;
    at = PUT(at, "\xa2op\xa3msg\xa5topic");
    at = put_msgpack_str(at, topic);
    at = PUT(at, "\xa4"
                 "data");
    if (data.kind == FT_DATA_BYTES) {
        at = put_msgpack_bin(at, data.bytes);
        l->data = at - data.bytes.len;
    } else {
        l->data = at;
        at = put_slice(at, data.bytes);
    }
    at = PUT(at, "\xa2"
                 "at\xcf");
    l->pos = l->at = at = put_be(at, at_ms, 8);
    if (!stream)
        return;
    at = PUT(at, "\xa3pos\xa0"); /* the length comes with the offset */
    l->pos = at;
    l->at = PUT(put(at, stream, FT_STREAM_NAME_LEN), ".");
}

/* Ends a payload. `pos` is where the position begins, and `at` where its offset goes; they are the
 * same where there is none. */
static uint8_t *finish_payload(enum ft_encoding encoding, uint8_t *pos, uint8_t *at,
                               uint64_t offset)
{
    if (pos == at)
        return encoding == FT_JSON ? PUT(at, "}") : at;
    at = put_decimal(at, offset);
    if (encoding == FT_JSON)
        return PUT(at, "\"}");
    pos[-1] = (uint8_t)(0xa0 | (at - pos));
    return at;
}

static void lay(enum ft_encoding encoding, struct layout *l, struct ft_slice topic,
                struct ft_data data, uint64_t at_ms, const char *stream)
{
    if (encoding == FT_JSON)
        lay_json(l, topic, data, at_ms, stream);
    else
        lay_msgpack(l, topic, data, at_ms, stream);
}

static size_t payload_max(enum ft_encoding encoding, size_t topic_len, size_t data_len)
{
    return (encoding == FT_JSON ? JSON_FIXED_MAX + 2 * topic_len : MSGPACK_FIXED_MAX + topic_len) +
           data_len + FT_POS_LEN_MAX;
}

size_t ft_publication_size(const struct ft_publication_spec *spec)
{
    size_t key = spec->key ? sizeof(*spec->key) : 0;
    size_t size = sizeof(struct ft_publication) + spec->topic.len + key + FT_WS_SERVER_HEADER_MAX +
                  payload_max(spec->encoding, spec->topic.len, spec->data.bytes.len);
    return (size + 7) & ~(size_t)7;
}

struct ft_publication *ft_publication_build(void *memory, size_t size,
                                            const struct ft_publication_spec *spec)
{
    struct ft_publication *p = memory;
    uint8_t *base = memory;
    uint8_t *topic = base + sizeof(*p);
    uint8_t *key = put_slice(topic, spec->topic);
    if (spec->key)
        memcpy(key, spec->key, sizeof(*spec->key));
    uint8_t *payload = key + (spec->key ? sizeof(*spec->key) : 0) + FT_WS_SERVER_HEADER_MAX;
    struct layout l = {.at = payload};
    lay(spec->encoding, &l, spec->topic, spec->data, spec->at_ms,
        spec->is_ephemeral ? NULL : spec->stream);
    size_t used = (size_t)(l.at - base) + TAIL_MAX;
    FT_ASSERT(used <= size);
    *p = (struct ft_publication){
        .at_ms = spec->at_ms,
        .topic_hash = spec->topic_hash,
        .accepted_s = spec->accepted_s,
        .taken_us = spec->taken_us,
        .expires_ds = spec->expires_ds,
        .history = spec->history,
        .slow = spec->slow,
        .seq = spec->seq,
        .stream = spec->stream_index,
        .entry = spec->entry,
        .is_ephemeral = spec->is_ephemeral,
        .is_retained = spec->is_retained,
        .clears_retained = spec->clears_retained,
        .has_key_ = spec->key != NULL,
        .size_ = (uint32_t)((used + 7) & ~(size_t)7),
        .data_at_ = (uint32_t)(l.data - base),
        .data_len_ = (uint32_t)spec->data.bytes.len,
        .frame_at_ = (uint32_t)(payload - base),
        .frame_len_ = (uint32_t)(l.at - base),
        .topic_len_ = (uint8_t)spec->topic.len,
        .encoding_ = (uint8_t)spec->encoding,
        .data_kind_ = (uint8_t)spec->data.kind,
        .pos_at_ = (uint32_t)(l.pos - base),
    };
    return p;
}

/* Writes the header flush against the payload; returns where the frame begins. */
static uint8_t *put_header(enum ft_encoding encoding, uint8_t *payload, const uint8_t *end)
{
    size_t len = (size_t)(end - payload);
    uint8_t *frame = payload - ft_ws_server_header_size(len);
    ft_ws_server_header(ft_ws_opcode_of(encoding), len, frame);
    return frame;
}

void ft_publication_number(struct ft_publication *p, uint64_t offset)
{
    enum ft_encoding encoding = p->encoding_;
    uint8_t *base = (uint8_t *)p;
    uint8_t *pos = base + p->pos_at_;
    if (p->seq == 0 && p->entry != FT_ENTRY_GAP)
        p->seq = offset;
    uint8_t *end = finish_payload(encoding, pos, base + p->frame_len_, p->seq);
    uint8_t *frame = put_header(encoding, base + p->frame_at_, end);
    p->offset = offset;
    if (!p->is_ephemeral)
        p->pos_len_ = (uint8_t)(end - pos - (encoding == FT_JSON ? 2 : 0));
    p->frame_at_ = (uint32_t)(frame - base);
    p->frame_len_ = (uint32_t)(end - frame);
}

void ft_publication_fini(struct ft_publication *p)
{
    free(atomic_load_explicit(&p->other_, memory_order_relaxed));
    free(atomic_load_explicit(&p->event_, memory_order_relaxed));
}

struct ft_publication *ft_publication_copy(const struct ft_publication *p, void *memory)
{
    memcpy(memory, p, p->size_);
    struct ft_publication *copy = memory;
    atomic_init(&copy->other_, NULL);
    atomic_init(&copy->event_, NULL);
    return copy;
}

bool ft_publication_key(const struct ft_publication *p, struct ft_key *key)
{
    if (p->has_key_)
        memcpy(key, (const uint8_t *)(p + 1) + p->topic_len_, sizeof(*key));
    return p->has_key_;
}

struct ft_data ft_publication_data(const struct ft_publication *p)
{
    return (struct ft_data){
        .kind = p->data_kind_,
        .bytes = ft_slice((const uint8_t *)p + p->data_at_, p->data_len_),
    };
}

static struct ft_frame *make_other(const struct ft_publication *p, enum ft_encoding encoding)
{
    struct ft_data data = ft_publication_data(p);
    struct ft_buffer value;
    ft_buffer_init(&value, TRANSCODED_MAX(data.bytes.len));
    struct ft_data other;
    enum ft_err err = ft_transcode(data, encoding, &value, &other.kind);
    FT_ASSERT(err == FT_OK); /* the reader let in only what both encodings can carry */
    other.bytes = ft_buffer_slice(&value);

    struct ft_slice topic = ft_publication_topic(p);
    size_t max = FT_WS_SERVER_HEADER_MAX + payload_max(encoding, topic.len, other.bytes.len);
    struct ft_frame *frame = ft_alloc(sizeof(*frame) + max);
    uint8_t *payload = frame->bytes + FT_WS_SERVER_HEADER_MAX;
    struct layout l = {.at = payload};
    lay(encoding, &l, topic, other, p->at_ms,
        p->is_ephemeral ? NULL : (const char *)ft_publication_pos(p).ptr);
    uint8_t *end = finish_payload(encoding, l.pos, l.at, p->seq);
    uint8_t *begin = put_header(encoding, payload, end);
    frame->len = (uint32_t)(end - begin);
    memmove(frame->bytes, begin, frame->len);
    ft_buffer_fini(&value);
    return ft_realloc(frame, sizeof(*frame) + frame->len);
}

/* Returns the payload of a WebSocket frame that the broker made. */
static struct ft_slice payload_of(struct ft_slice frame)
{
    static const size_t length_bytes[2] = {2, 8}; /* RFC 6455, 5.2: 126 and 127 */
    uint8_t first = frame.ptr[1];
    size_t header = 2 + (first < 126 ? 0 : length_bytes[first - 126]);
    return ft_slice(frame.ptr + header, frame.len - header);
}

static struct ft_slice slice_of(const struct ft_frame *frame)
{
    return ft_slice(frame->bytes, frame->len);
}

/* Line breaks in JSON text stand between its parts only, where a space is as good: an event's field is
 * one line. */
static uint8_t *put_line(uint8_t *at, struct ft_slice json)
{
    for (size_t i = 0; i < json.len; i++)
        at[i] = json.ptr[i] == '\n' || json.ptr[i] == '\r' ? ' ' : json.ptr[i];
    return at + json.len;
}

static struct ft_frame *make_event(const struct ft_publication *p, struct ft_slice id)
{
    struct ft_slice frame = ft_slice((const uint8_t *)p + p->frame_at_, p->frame_len_);
    struct ft_frame *made = NULL;
    if (p->encoding_ != FT_JSON) {
        struct ft_frame *other = atomic_load_explicit(&p->other_, memory_order_acquire);
        made = other ? NULL : make_other(p, FT_JSON); /* nobody may ever want it on a WebSocket */
        frame = slice_of(other ? other : made);
    }
    struct ft_slice json = payload_of(frame);
    struct ft_frame *event = ft_alloc(sizeof(*event) + EVENT_FIXED + id.len + json.len);
    uint8_t *at = event->bytes;
    if (id.len > 0)
        at = PUT(put_slice(PUT(at, "id: "), id), "\n");
    at = PUT(put_line(PUT(at, "data: "), json), "\n\n");
    event->len = (uint32_t)(at - event->bytes);
    free(made);
    return event;
}

/* Hangs a frame off a publication, unless another worker was faster. Returns the one that hangs there. */
static struct ft_frame *hang(const _Atomic(struct ft_frame *) *slot, struct ft_frame *mine,
                             size_t *made)
{
    struct ft_frame *frame = NULL;
    if (!atomic_compare_exchange_strong_explicit((_Atomic(struct ft_frame *) *)slot, &frame, mine,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        free(mine);
        return frame;
    }
    if (made)
        *made = sizeof(*mine) + mine->len;
    return mine;
}

struct ft_slice ft_publication_event(const struct ft_publication *p, struct ft_slice id,
                                     size_t *made)
{
    if (made)
        *made = 0;
    struct ft_frame *frame = atomic_load_explicit(&p->event_, memory_order_acquire);
    return slice_of(frame ? frame : hang(&p->event_, make_event(p, id), made));
}

struct ft_slice ft_publication_cut_id(struct ft_slice event)
{
    const uint8_t *line = event.ptr[0] == 'i' ? memchr(event.ptr, '\n', event.len) : NULL;
    return line ? ft_slice(line + 1, event.len - (size_t)(line + 1 - event.ptr)) : event;
}

struct ft_slice ft_publication_frame(const struct ft_publication *p, enum ft_frames frames,
                                     size_t *made)
{
    if (frames == FT_FRAMES_EVENTS)
        return ft_publication_event(p, ft_publication_pos(p), made);
    if (made)
        *made = 0;
    if ((int)frames == p->encoding_)
        return ft_slice((const uint8_t *)p + p->frame_at_, p->frame_len_);
    struct ft_frame *frame = atomic_load_explicit(&p->other_, memory_order_acquire);
    return slice_of(frame ? frame
                          : hang(&p->other_, make_other(p, (enum ft_encoding)frames), made));
}

/* Adds `n` bytes to `out`, to be filled in. Its ceiling is the caller's to choose: they must fit. */
static uint8_t *grow(struct ft_buffer *out, size_t n)
{
    uint8_t *room = ft_buffer_reserve(out, n);
    FT_ASSERT(room);
    out->len += n;
    return room;
}

void ft_publication_add_retained(struct ft_slice frame, enum ft_frames frames,
                                 struct ft_buffer *out)
{
    static const char json[] = ",\"retained\":true}", msgpack[] = "\xa8retained\xc3";
    if (frames == FT_FRAMES_EVENTS) {
        static const char end[] = "}\n\n";
        struct ft_slice body = ft_slice(frame.ptr, frame.len - (sizeof(end) - 1));
        uint8_t *event = grow(out, frame.len + sizeof(json) - 2);
        PUT(PUT(put_slice(event, body), json), "\n\n");
        return;
    }
    enum ft_encoding encoding = (enum ft_encoding)frames;
    struct ft_slice payload = payload_of(frame);
    struct ft_slice mark = ft_slice_str(encoding == FT_JSON ? json : msgpack);
    if (encoding == FT_JSON)
        payload.len--; /* its closing bracket */
    size_t len = payload.len + mark.len, header = ft_ws_server_header_size(len);
    uint8_t *marked = grow(out, header + len);
    ft_ws_server_header(ft_ws_opcode_of(encoding), len, marked);
    put_slice(put_slice(marked + header, payload), mark);
    if (encoding == FT_MSGPACK)
        marked[header]++; /* one pair more */
}

void ft_publication_add_item(struct ft_slice frame, enum ft_encoding encoding,
                             struct ft_buffer *out)
{
    static const char json_op[] = "{\"op\":\"msg\",", msgpack_op[] = "\x85\xa2op\xa3msg";
    struct ft_slice payload = payload_of(frame);
    size_t op = encoding == FT_JSON ? sizeof(json_op) - 1 : sizeof(msgpack_op) - 1;
    uint8_t *item = grow(out, 1 + payload.len - op);
    *item = encoding == FT_JSON ? '{' : payload.ptr[0] - 1; /* one pair less */
    put_slice(item + 1, ft_slice(payload.ptr + op, payload.len - op));
}
