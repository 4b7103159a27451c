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

/* Writes {"op":"msg","topic":…,"data"|"b64":…,"at":…,"pos":"<stream>. and stops before the offset. */
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
    l->pos = PUT(at, ",\"pos\":\"");
    l->at = PUT(put(l->pos, stream, FT_STREAM_NAME_LEN), ".");
}

static void lay_msgpack(struct layout *l, struct ft_slice topic, struct ft_data data,
                        uint64_t at_ms, const char *stream)
{
    uint8_t *at = PUT(l->at, "\x85\xa2op\xa3msg\xa5topic");
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
    at = PUT(put_be(at, at_ms, 8), "\xa3pos\xa0"); /* the length comes with the offset */
    l->pos = at;
    l->at = PUT(put(at, stream, FT_STREAM_NAME_LEN), ".");
}

static uint8_t *finish_payload(enum ft_encoding encoding, uint8_t *pos, uint8_t *at,
                               uint64_t offset)
{
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
    size_t size = sizeof(struct ft_publication) + spec->topic.len + FT_WS_SERVER_HEADER_MAX +
                  payload_max(spec->encoding, spec->topic.len, spec->data.bytes.len);
    return (size + 7) & ~(size_t)7;
}

struct ft_publication *ft_publication_build(void *memory, size_t size,
                                            const struct ft_publication_spec *spec)
{
    struct ft_publication *p = memory;
    uint8_t *base = memory;
    uint8_t *topic = base + sizeof(*p);
    uint8_t *payload = put_slice(topic, spec->topic) + FT_WS_SERVER_HEADER_MAX;
    struct layout l = {.at = payload};
    lay(spec->encoding, &l, spec->topic, spec->data, spec->at_ms, spec->stream);
    size_t used = (size_t)(l.at - base) + TAIL_MAX;
    FT_ASSERT(used <= size);
    *p = (struct ft_publication){
        .at_ms = spec->at_ms,
        .accepted_s = spec->accepted_s,
        .size_ = (uint32_t)((used + 7) & ~(size_t)7),
        .data_at_ = (uint32_t)(l.data - base),
        .data_len_ = (uint32_t)spec->data.bytes.len,
        .payload_at_ = (uint32_t)(payload - base),
        .tail_at_ = (uint32_t)(l.at - base),
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
    uint8_t *end = finish_payload(encoding, pos, base + p->tail_at_, offset);
    uint8_t *frame = put_header(encoding, base + p->payload_at_, end);
    p->offset = offset;
    p->pos_len_ = (uint8_t)(end - pos - (encoding == FT_JSON ? 2 : 0));
    p->frame_at_ = (uint32_t)(frame - base);
    p->frame_len_ = (uint32_t)(end - frame);
}

void ft_publication_fini(struct ft_publication *p)
{
    free(atomic_load_explicit(&p->other_, memory_order_relaxed));
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
    lay(encoding, &l, topic, other, p->at_ms, (const char *)ft_publication_pos(p).ptr);
    uint8_t *end = finish_payload(encoding, l.pos, l.at, p->offset);
    uint8_t *begin = put_header(encoding, payload, end);
    frame->len = (uint32_t)(end - begin);
    memmove(frame->bytes, begin, frame->len);
    ft_buffer_fini(&value);
    return ft_realloc(frame, sizeof(*frame) + frame->len);
}

struct ft_slice ft_publication_frame(const struct ft_publication *p, enum ft_encoding encoding,
                                     size_t *made)
{
    if (made)
        *made = 0;
    if (encoding == p->encoding_)
        return ft_slice((const uint8_t *)p + p->frame_at_, p->frame_len_);

    _Atomic(struct ft_frame *) *slot = (_Atomic(struct ft_frame *) *)&p->other_;
    struct ft_frame *frame = atomic_load_explicit(slot, memory_order_acquire);
    if (!frame) {
        struct ft_frame *mine = make_other(p, encoding);
        if (atomic_compare_exchange_strong_explicit(slot, &frame, mine, memory_order_acq_rel,
                                                    memory_order_acquire)) {
            frame = mine;
            if (made)
                *made = sizeof(*frame) + frame->len;
        } else {
            free(mine); /* another worker was first */
        }
    }
    return ft_slice(frame->bytes, frame->len);
}
