/*
 * Turns deliveries into lines. Does not write them. Pure; the main thread.
 */
#include "clients/cli/print.h"

#include <jansson.h>

#include "protocol/base64.h"
#include "protocol/transcode.h"
#include "protocol/writer.h"

/* A message is bounded by the client; its JSON is at most six times as long. */
enum { VALUE_MAX = 64 << 20 };

/* Data as text: JSON, base64 or bytes as they are. */
struct value {
    enum ft_data_kind kind; /* FT_DATA_JSON, FT_DATA_B64 or FT_DATA_BYTES */
    struct ft_slice text;
};

static struct ft_slice slice_of(struct fantail_bytes bytes)
{
    return ft_slice(bytes.ptr, bytes.len);
}

/* Brings MessagePack into JSON; everything else is there already. `room` keeps what is made. */
static struct value read_value(const struct fantail_message *message, struct ft_buffer *room)
{
    struct ft_slice data = slice_of(message->data);
    if (message->kind == FANTAIL_BYTES)
        return (struct value){.kind = FT_DATA_BYTES, .text = data};
    if (message->kind != FANTAIL_MSGPACK)
        return (struct value){.kind = FT_DATA_JSON, .text = data};
    enum ft_data_kind kind;
    struct ft_data packed = {.kind = FT_DATA_MSGPACK, .bytes = data};
    if (ft_transcode(packed, FT_JSON, room, &kind) != FT_OK)
        return (struct value){.kind = FT_DATA_JSON, .text = ft_slice_str("null")};
    return (struct value){.kind = kind, .text = ft_buffer_slice(room)};
}

static void add_base64(struct ft_buffer *out, struct ft_slice bytes)
{
    uint8_t *at = ft_buffer_reserve(out, FT_BASE64_LEN(bytes.len));
    if (at)
        out->len += ft_base64_encode(bytes, (char *)at);
}

/* Adds JSON on one line: outside of strings a line break can only be white space. */
static void add_json_line(struct ft_buffer *out, struct ft_slice json)
{
    size_t from = out->len;
    ft_buffer_add(out, json.ptr, json.len);
    for (size_t i = from; i < out->len; i++)
        if (out->ptr[i] == '\n' || out->ptr[i] == '\r')
            out->ptr[i] = ' ';
}

static bool has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return true;
    return false;
}

/* Adds the characters of a JSON string; false (and nothing added) when the value is no string, or
 * holds control characters where they may not be. */
static bool add_bare_string(struct ft_buffer *out, struct ft_slice json, bool may_have_control)
{
    if (json.len < 2 || json.ptr[0] != '"')
        return false;
    if (!memchr(json.ptr, '\\', json.len)) {
        const char *inner = (const char *)json.ptr + 1;
        if (!may_have_control && has_control(inner, json.len - 2)) /* U+007F needs no escape */
            return false;
        ft_buffer_add(out, inner, json.len - 2);
        return true;
    }
    json_t *string =
        json_loadb((const char *)json.ptr, json.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    const char *text = json_string_value(string);
    size_t len = json_string_length(string);
    bool is_fine = text && (may_have_control || !has_control(text, len));
    if (is_fine)
        ft_buffer_add(out, text, len);
    json_decref(string);
    return is_fine;
}

static void add_data(struct ft_buffer *out, const struct value *value)
{
    if (value->kind == FT_DATA_BYTES)
        add_base64(out, value->text);
    else if (value->kind == FT_DATA_B64)
        ft_buffer_add(out, value->text.ptr, value->text.len);
    else if (!add_bare_string(out, value->text, false))
        add_json_line(out, value->text);
}

static void add_raw(struct ft_buffer *out, const struct value *value)
{
    if (value->kind == FT_DATA_BYTES) {
        ft_buffer_add(out, value->text.ptr, value->text.len);
    } else if (value->kind == FT_DATA_B64) {
        size_t len = 0;
        uint8_t *at = ft_buffer_reserve(out, value->text.len / 4 * 3);
        if (at && ft_base64_decode(value->text, at, &len))
            out->len += len;
    } else if (!add_bare_string(out, value->text, true)) {
        ft_buffer_add(out, value->text.ptr, value->text.len);
    }
}

static void add_envelope(struct ft_buffer *out, const struct fantail_message *message,
                         const struct value *value)
{
    struct ft_buffer text; /* what stands under `data` or `b64` */
    ft_buffer_init(&text, VALUE_MAX);
    if (value->kind == FT_DATA_JSON) {
        add_json_line(&text, value->text);
    } else {
        ft_buffer_add_byte(&text, '"');
        add_data(&text, value);
        ft_buffer_add_byte(&text, '"');
    }
    struct ft_writer w;
    ft_writer_init(&w, FT_JSON, out);
    ft_write_map(&w, 4u + (message->pos.ptr != NULL) + message->retained);
    ft_write_key(&w, "op");
    ft_write_str(&w, ft_slice_str("msg"));
    ft_write_key(&w, "topic");
    ft_write_str(&w, slice_of(message->topic));
    ft_write_key(&w, value->kind == FT_DATA_JSON ? "data" : "b64");
    ft_write_raw(&w, ft_buffer_slice(&text));
    if (message->pos.ptr) {
        ft_write_key(&w, "pos");
        ft_write_str(&w, slice_of(message->pos));
    }
    ft_write_key(&w, "at");
    ft_write_uint(&w, message->at_ms);
    if (message->retained) {
        ft_write_key(&w, "retained");
        ft_write_bool(&w, true);
    }
    ft_buffer_fini(&text);
}

void ft_print_message(const struct fantail_message *message, enum ft_print_form form,
                      struct ft_buffer *out)
{
    struct ft_buffer room;
    ft_buffer_init(&room, VALUE_MAX);
    struct value value = read_value(message, &room);
    if (form == FT_PRINT_RAW) {
        add_raw(out, &value);
    } else {
        if (form == FT_PRINT_JSON) {
            add_envelope(out, message, &value);
        } else {
            if (form == FT_PRINT_VERBOSE) {
                if (message->retained)
                    ft_buffer_add_str(out, "[retained] ");
                ft_buffer_add(out, message->topic.ptr, message->topic.len);
                ft_buffer_add_byte(out, ' ');
            }
            add_data(out, &value);
        }
        ft_buffer_add_byte(out, '\n');
    }
    ft_buffer_fini(&room);
}
