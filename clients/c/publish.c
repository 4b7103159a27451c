/*
 * What goes out: publications are encoded, framed and queued here, and ended when their connection
 * is gone. Does not write to the socket: client.c does, once a turn. The client's thread.
 */
#include "clients/c/client.h"

#include "protocol/base64.h"
#include "protocol/quote.h"
#include "protocol/topic.h"
#include "protocol/transcode.h"
#include "protocol/utf8.h"
#include "protocol/writer.h"

/* A publication as it will stand in its envelope: one encoded value under `key`. */
struct value {
    const char *key; /* "data" or "b64" */
    struct ft_slice encoded;
};

static enum ft_err refuse(struct fantail *f, enum ft_err err, const char *text)
{
    return ft_problem_set(&f->problem, err, "%s", text);
}

/* Writes bytes or base64 text as a JSON string. Neither needs escapes. */
static void put_base64(struct fantail *f, struct ft_slice bytes)
{
    ft_buffer_add_byte(&f->data, '"');
    uint8_t *at = ft_buffer_reserve(&f->data, FT_BASE64_LEN(bytes.len));
    if (at)
        f->data.len += ft_base64_encode(bytes, (char *)at);
    ft_buffer_add_byte(&f->data, '"');
}

/* Turns a value that passed ft_data_check() into the other encoding. */
static enum ft_err transcode(struct fantail *f, struct ft_data data, struct value *value)
{
    enum ft_data_kind kind;
    /* Where the result is base64 it comes without quotes, so there is room for one before it. */
    ft_buffer_add_byte(&f->data, '"');
    enum ft_err err = ft_transcode(data, f->encoding, &f->data, &kind);
    if (err)
        return refuse(f, err, "the data is larger than the broker takes");
    if (kind == FT_DATA_B64) {
        ft_buffer_add_byte(&f->data, '"');
        *value = (struct value){.key = "b64", .encoded = ft_buffer_slice(&f->data)};
    } else {
        *value = (struct value){.key = "data", .encoded = {f->data.ptr + 1, f->data.len - 1}};
    }
    return FT_OK;
}

/* A value in one of the two encodings: as it is, or transcoded. */
static enum ft_err encode_value(struct fantail *f, enum ft_encoding from, struct ft_slice bytes,
                                struct value *value)
{
    enum ft_err err = ft_data_check(from, bytes, &f->problem);
    if (err)
        return err;
    if (from == f->encoding) {
        *value = (struct value){.key = "data", .encoded = bytes};
        return FT_OK;
    }
    enum ft_data_kind kind = from == FT_JSON ? FT_DATA_JSON : FT_DATA_MSGPACK;
    return transcode(f, (struct ft_data){.kind = kind, .bytes = bytes}, value);
}

static enum ft_err encode_string(struct fantail *f, struct ft_slice text, struct value *value)
{
    if (!ft_utf8_is_valid(text))
        return refuse(f, FT_ERR_BAD_DATA, "the string is not valid UTF-8; publish it as bytes");
    struct ft_writer writer;
    ft_writer_init(&writer, f->encoding, &f->data);
    ft_write_str(&writer, text);
    *value = (struct value){.key = "data", .encoded = ft_buffer_slice(&f->data)};
    return FT_OK;
}

static enum ft_err encode_bytes(struct fantail *f, struct ft_slice bytes, struct value *value)
{
    if (f->encoding == FT_JSON) {
        put_base64(f, bytes);
        *value = (struct value){.key = "b64", .encoded = ft_buffer_slice(&f->data)};
        return FT_OK;
    }
    return transcode(f, (struct ft_data){.kind = FT_DATA_BYTES, .bytes = bytes}, value);
}

static enum ft_err encode(struct fantail *f, enum fantail_kind kind, struct ft_slice bytes,
                          struct value *value)
{
    ft_buffer_clear(&f->data);
    enum ft_err err;
    switch (kind) {
    case FANTAIL_JSON:
        err = encode_value(f, FT_JSON, bytes, value);
        break;
    case FANTAIL_MSGPACK:
        err = encode_value(f, FT_MSGPACK, bytes, value);
        break;
    case FANTAIL_STRING:
        err = encode_string(f, bytes, value);
        break;
    case FANTAIL_BYTES:
        err = encode_bytes(f, bytes, value);
        break;
    default:
        err = refuse(f, FT_ERR_BAD_FIELD, "the kind of data is none of enum fantail_kind");
    }
    if (!err && f->data.failed)
        err = refuse(f, FT_ERR_TOO_LARGE, "the data is larger than the broker takes");
    return err;
}

static void write_pub(struct fantail *f, const char *topic, const struct value *value,
                      const struct fantail_publish_options *options)
{
    struct ft_writer w;
    ft_buffer_clear(&f->envelope);
    ft_writer_init(&w, f->encoding, &f->envelope);
    ft_write_map(&w, 4u + options->retain + (options->ttl_s > 0) + (options->key != NULL));
    ft_write_key(&w, "op");
    ft_write_str(&w, ft_slice_str("pub"));
    ft_write_key(&w, "id");
    ft_write_uint(&w, f->pending.next);
    ft_write_key(&w, "topic");
    ft_write_str(&w, ft_slice_str(topic));
    if (options->retain) {
        ft_write_key(&w, "retain");
        ft_write_bool(&w, true);
    }
    if (options->ttl_s > 0) {
        ft_write_key(&w, "ttl");
        ft_write_uint(&w, options->ttl_s);
    }
    if (options->key) {
        ft_write_key(&w, "key");
        ft_write_str(&w, ft_slice_str(options->key));
    }
    ft_write_key(&w, value->key);
    ft_write_raw(&w, value->encoded);
}

static enum ft_err check_key(struct fantail *f, const char *key)
{
    if (!key)
        return FT_OK;
    struct ft_slice text = ft_slice_str(key);
    if (text.len > 0 && text.len <= FT_KEY_BYTES_MAX && ft_utf8_is_valid(text))
        return FT_OK;
    char quoted[FT_QUOTE_MAX];
    return ft_problem_set(&f->problem, FT_ERR_BAD_FIELD, "the key %s is not 1-%d bytes of UTF-8",
                          ft_quote(text, quoted), FT_KEY_BYTES_MAX);
}

/* Frames f->envelope behind the other publications. */
static enum ft_err queue_pub(struct fantail *f, const struct fantail_publish_options *options)
{
    if (f->envelope.failed || f->envelope.len > f->message_limit)
        return ft_problem_set(&f->problem, FT_ERR_TOO_LARGE,
                              "the publication is larger than the %zu bytes that the broker takes",
                              f->message_limit);
    if (!ft_pending_has_room(&f->pending, FT_WS_HEADER_MAX + f->envelope.len))
        return refuse(f, FT_ERR_TOO_MANY, "the queue is full of publications without an answer");
    ft_buffer_clear(&f->data); /* the value is in the envelope by now */
    ft_framer_add(&f->framer, ft_ws_opcode_of(f->encoding), ft_buffer_slice(&f->envelope),
                  &f->data);
    ft_pending_push(&f->pending, ft_buffer_slice(&f->data), options->key != NULL,
                    options->on_result, options->user);
    return FT_OK;
}

int fantail_publish(struct fantail *f, const char *topic, enum fantail_kind kind, const void *data,
                    size_t len, const struct fantail_publish_options *options)
{
    static const struct fantail_publish_options defaults = {0};
    if (!options)
        options = &defaults;
    enum ft_err err = FT_OK;
    struct value value = {0};
    if (f->state == FANTAIL_CLOSED || f->is_closing)
        err = refuse(f, FT_ERR_UNAVAILABLE, "the client is closed");
    if (!err)
        err = ft_topic_check(ft_slice_str(topic), &f->problem);
    if (!err)
        err = check_key(f, options->key);
    if (!err)
        err = encode(f, kind, ft_slice(len > 0 ? data : "", len), &value);
    if (!err) {
        write_pub(f, topic, &value, options);
        err = queue_pub(f, options);
    }
    return err ? ft_err_wire(err) : 0;
}

size_t fantail_pending(const struct fantail *f)
{
    return f->pending.count;
}

void ft_client_send_control(struct fantail *f)
{
    ft_framer_add(&f->framer, ft_ws_opcode_of(f->encoding), ft_buffer_slice(&f->envelope),
                  &f->control);
    ft_buffer_clear(&f->envelope);
}

static void end_item(struct fantail *f, const struct ft_pending_item *item, int code,
                     const char *message)
{
    struct fantail_result result = {.code = code, .message = message};
    if (item->on_result)
        item->on_result(f, &result, item->user);
    else
        ft_client_report(f, &result);
}

void ft_client_end_lost(struct fantail *f)
{
    struct ft_pending_item item;
    while (ft_pending_take_lost(&f->pending, &item))
        end_item(
            f, &item, FANTAIL_LOST,
            item.is_keyed_
                ? "for too long there was no answer; it may have been accepted, and the "
                  "broker may have forgotten its key"
                : "the connection broke before the broker answered; it may have been accepted");
}

void ft_client_end_all(struct fantail *f)
{
    struct ft_pending_item item;
    while (ft_pending_take_any(&f->pending, &item))
        end_item(f, &item, FANTAIL_UNAVAILABLE, "the client is closed");
}
